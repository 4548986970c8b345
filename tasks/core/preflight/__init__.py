"""Preflight: everything that could stop or harm a migration, found before anything is changed."""

from tasks.core.preflight.inspection import run_preflight, summary

__all__ = ["run_preflight", "summary"]

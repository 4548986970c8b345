"""Preflight: everything that could stop or harm a migration, found before anything is changed."""

from tasks.core.preflight.inspection import in_a_line, page, run_preflight, summary

__all__ = ["in_a_line", "page", "run_preflight", "summary"]

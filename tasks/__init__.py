"""Prefect tasks: one module per step, thin over the core."""

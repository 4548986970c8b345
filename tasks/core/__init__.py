"""The core: everything that works without Prefect."""

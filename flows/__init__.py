"""The Prefect flows: one per file, the order of the steps and nothing else."""

"""The Prefect flows: one per file, the order of the steps and nothing else."""

import os

# Prefect reports its use to its makers as soon as it is imported, unless this says otherwise. Who wants that sets it to 0.
os.environ.setdefault("DO_NOT_TRACK", "1")

"""What a company needs to run the flows: pinned dependencies and deployment files."""

"""Keep a job on disk: its directory, its attempts, how they ended, and its result."""

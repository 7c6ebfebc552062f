"""Define jobs and records, and read and write them as JSON."""

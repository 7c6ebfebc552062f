"""From a job to its record."""

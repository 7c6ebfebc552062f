"""Read suites and turn them into jobs, without importing torch."""

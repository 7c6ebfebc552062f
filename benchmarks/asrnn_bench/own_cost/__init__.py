"""Measure what the benchmark itself costs, in addition to the recurrences that it runs."""

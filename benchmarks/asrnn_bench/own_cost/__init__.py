"""Measure what the benchmark itself costs, beside the recurrences that it runs."""

"""Define the fused recurrences, one family per file: in-place steps in Python, and the same steps in C under ``c/``."""

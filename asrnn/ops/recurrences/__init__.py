"""Fused recurrences, a family a file: in-place steps in Python, and the same in C beside them."""

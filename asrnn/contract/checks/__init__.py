"""Check one property of a model in each function; the docstring says what is expected."""

"""Open the console that every verb prints to."""

import os

from rich.console import Console

UNBOUNDED = 250
"""Columns in a pipe or a file, where each row of a table is one line, for grep."""


def open_console() -> Console:
    """Return the console of standard output, as wide as the terminal or as ``COLUMNS``; in a pipe, as wide as lines."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNBOUNDED
    return console

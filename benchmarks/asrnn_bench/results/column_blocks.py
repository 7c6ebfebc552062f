"""Divide the columns of a table into blocks that fit the width of a terminal."""

from collections.abc import Mapping

GAP = 1
"""The number of spaces between two columns."""


def column_blocks(widths: Mapping[str, int], first: int, width: int) -> list[list[str]]:
    """Return the names of the columns in as few blocks as possible; every block begins with the same first column.

    Args:
        widths: the width of each column in letters, in order.
        first: the width of the first column.
        width: the number of letters in a line. A column that is wider is a block of its own.
    """
    blocks: list[list[str]] = []
    used = 0
    for name, needed in widths.items():
        if not blocks or used + GAP + needed > width:
            blocks.append([])
            used = first
        blocks[-1].append(name)
        used += GAP + needed
    return blocks

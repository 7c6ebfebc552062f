"""Divide the columns of a table into blocks that fit the width of a terminal."""

from collections.abc import Mapping

GAP = 1
"""Between two columns."""


def column_blocks(widths: Mapping[str, int], first: int, width: int) -> list[list[str]]:
    """Return the names of the columns in as few blocks as the width allows; each begins with the same first column.

    Args:
        widths: the letters that each column takes, in order.
        first: those of the first column.
        width: the letters of a line; a block has one column at least.
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

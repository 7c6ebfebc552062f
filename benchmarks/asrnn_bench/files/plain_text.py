"""Make text that others wrote safe to show: one line, in which every character can be seen."""

import re

LONGEST = 1000

# Written out, because what Python counts as printable changes with its version, and a leaderboard's bytes must not:
# controls, halves of surrogate pairs, and characters that are invisible or turn the direction of those after them.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def plain(text: str) -> str:
    r"""Return ``text`` as one line: runs of white space become one space, invisible characters become escapes.

    >>> print(plain("two\nlines, \x1b[31mred\x1b[0m and \u202eturned"))
    two lines, \x1b[31mred\x1b[0m and \u202eturned
    """
    return _INVISIBLE.sub(_escaped, " ".join(text.split()))


def brief(value: object, longest: int = 80) -> str:
    """Return the ``repr`` of a value as one line of at most ``longest`` characters."""
    try:
        text = plain(repr(value))
    except (ValueError, RecursionError):  # a number of more digits than Python writes; lists in lists in lists
        text = "something very long"
    return text if len(text) <= longest else f"{text[:longest]}…"


def spreadsheet_safe(text: str) -> str:
    """Return ``text``, with an apostrophe before it where a spreadsheet would take it for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")

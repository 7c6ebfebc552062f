"""Say how the file of a leaderboard differs from what it should hold: in its content, or in its line ends only."""

from itertools import zip_longest
from pathlib import Path

from asrnn_bench.files.plain_text import brief
from asrnn_bench.files.reading import read_file

BYTE_ORDER_MARK = "\ufeff"


def difference(path: Path, text: str) -> str | None:
    """Return in words how a file differs from ``text``; ``None`` where it holds exactly ``text``."""
    try:
        content = read_file(path)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if content == text.encode():
        return None
    try:
        found = content.decode()
    except UnicodeDecodeError:
        return "is not what the records give: it is not UTF-8 text"
    layout = []
    if found.startswith(BYTE_ORDER_MARK):
        layout.append("a byte order mark")
        found = found.removeprefix(BYTE_ORDER_MARK)
    if "\r\n" in found and "\r\n" not in text:
        layout.append("CRLF at the ends of lines, as git writes them with core.autocrlf")
        found = found.replace("\r\n", "\n")
    if found == text:
        return f"says what the records give, but has {' and '.join(layout)}"
    return f"is not what the records give, from line {_first_line(found, text)} on"


def _first_line(found: str, text: str) -> str:
    lines = enumerate(zip_longest(found.split("\n"), text.split("\n")), start=1)
    number, (there, _) = next((number, pair) for number, pair in lines if pair[0] != pair[1])
    return f"{number}, {brief(there, 60)}" if there else str(number)

"""Compare the table in ``leaderboards/README.md`` with the columns. As a program, this file writes the table again."""

import re
from pathlib import Path

from asrnn_bench.results.columns import COLUMNS, columns_markdown

README = Path(__file__).parents[3] / "leaderboards" / "README.md"


def with_columns(text: str) -> str:
    """Return the text of the README with its table of columns written anew."""
    return re.sub(r"\| column \| meaning, unit \|\n(\|.*\n)*", lambda _: columns_markdown(), text, count=1)


def test_the_readme_explains_every_column() -> None:
    text = README.read_text(encoding="utf-8")
    assert columns_markdown() in text, f"run: python {Path(__file__).relative_to(README.parents[1])}"
    assert with_columns(text) == text


def test_no_two_columns_have_the_same_name() -> None:
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)


if __name__ == "__main__":
    README.write_text(with_columns(README.read_text(encoding="utf-8")), encoding="utf-8")

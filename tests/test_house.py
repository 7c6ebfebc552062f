"""Hold the shape of the house: short files, small folders, a short README."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("asrnn", "datamodules/asrnn_data", "benchmarks/asrnn_bench", "tests", "examples")
MOST_LINES = 350
MOST_FILES = 20
MOST_README_LINES = 150
LARGEST_SHARE = 0.2
"""Of the benchmark's lines, in one of its folders."""


def _files() -> Iterator[Path]:
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*")):
            if path.suffix in (".py", ".c", ".h") and "__pycache__" not in path.parts:
                yield path


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    assert {str(path.relative_to(ROOT)): _lines(path) for path in _files() if _lines(path) > MOST_LINES} == {}


def test_no_folder_but_the_cells_has_more_files_than_a_reader_can_scan() -> None:
    of_folder = Counter(path.parent.relative_to(ROOT).as_posix() for path in _files() if path.name != "__init__.py")
    assert {folder: number for folder, number in of_folder.items() if number > MOST_FILES} in (
        {},
        {"asrnn/cells": of_folder["asrnn/cells"]},
    )


def test_no_folder_holds_a_fifth_of_the_benchmark() -> None:
    benchmark = ROOT / "benchmarks" / "asrnn_bench"
    lines: Counter[str] = Counter()
    for path in _files():
        if path.is_relative_to(benchmark):
            lines[path.relative_to(benchmark).parts[0]] += _lines(path)
    whole = sum(lines.values())
    assert {folder: n / whole for folder, n in lines.items() if n > LARGEST_SHARE * whole} == {}


def test_the_readme_is_short() -> None:
    assert _lines(ROOT / "README.md") < MOST_README_LINES

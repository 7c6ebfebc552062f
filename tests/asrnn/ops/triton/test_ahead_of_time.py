from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest

from asrnn.errors import UsageError
from asrnn.ops.triton import ahead_of_time
from asrnn.ops.triton.ahead_of_time import HIDDEN_SIZES, KERNELS, Compiled, compile_kernel, main, replace_table, table
from asrnn.ops.triton.reach import CHIPS, Chip, precision_for, shared_bytes

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")

PAGE = Path(__file__).parents[4] / "docs/kernels.md"
SM_80, SM_90, SM_100 = CHIPS
SM_89 = Chip((8, 9), 99 * 1024)
OURS = find_spec("triton") is not None and f"Compiled by triton {version('triton')}." in PAGE.read_text()
FINE = Compiled("forward", SM_90, 128, False, "float32", 147_456, 206, 0, False)


@needs_triton
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_compiles_and_fits(kernel: str) -> None:
    found = compile_kernel(kernel, SM_90, 64, gated=True)
    assert found.problem() is None
    assert found.precision == "float32"
    # Shared memory holds at least the halves of the weight, and the registers were found in the output.
    assert 2 * 4 * 64 * 64 <= found.shared <= shared_bytes(64, "float32")
    assert 32 < found.registers <= 255


def fits(problem: str | None) -> bool:
    """Return whether a kernel can run. Spills of another triton than the page's only make it slower."""
    return problem is None or (problem.endswith("bytes spilled") and not OURS)


ODD = [*product([SM_90], (5, 100, 200)), *product([SM_89], (64, 128))]


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(("chip", "hidden_size"), ODD, ids=str)
def test_the_kernels_fit_at_sizes_and_on_chips_that_the_page_leaves_out(chip: Chip, hidden_size: int) -> None:
    for kernel, gated in product(KERNELS, (False, True)):
        assert fits(compile_kernel(kernel, chip, hidden_size, gated=gated).problem())


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("gated", [False, True])
def test_the_backward_without_a_sequence_fits(gated: bool) -> None:
    assert fits(compile_kernel("backward", SM_80, 256, gated=gated, sequence=False).problem())


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| sm_")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def what_is_said(text: str) -> list[list[str]]:
    """Return a table without its numbers, which depend on the version of triton."""
    return [[*row[:5], "yes" if row[-1] not in ("yes", "no") and fits(row[-1]) else row[-1]] for row in rows(text)]


def expected() -> list[list[str]]:
    lines = []
    for chip, hidden_size in product(CHIPS, HIDDEN_SIZES):
        precision = precision_for(hidden_size, chip)
        kernels = product(("no", "yes"), KERNELS) if precision else [("", "")]
        said = (precision, "yes") if precision else ("bfloat16", "no")
        lines += [[chip.name, str(hidden_size), gate, kernel, *said] for gate, kernel in kernels]
    return lines


def test_the_page_says_that_every_kernel_fits_where_it_may_run() -> None:
    assert what_is_said(PAGE.read_text()) == expected()


@needs_triton
@pytest.mark.slow
def test_every_kernel_compiles_and_fits_as_the_page_says() -> None:
    text = table()
    assert what_is_said(text) == expected()
    if OURS:
        assert replace_table(PAGE.read_text(), text) == PAGE.read_text()


@needs_triton
def test_a_page_is_compared_with_the_compiled_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_of_time, "table", lambda: table([SM_90], [32, 512]))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{ahead_of_time.BEGIN}{ahead_of_time.END}after\n")
    assert main(["--check", str(page)]) == 1
    assert main(["--write", str(page)]) == 0
    assert main(["--check", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert len(rows(text)) == 5
    assert rows(text)[-1] == ["sm_90", "512", "", "", "bfloat16", "", "576 of 227", "", "", "no"]
    page.write_text(text.replace("| yes |\n", "| no |\n", 1))
    assert main(["--check", str(page)]) == 1


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(UsageError, match="no place for the table"):
        replace_table("nothing", "a table\n")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"shared": 240_000}, "240000 bytes of shared memory, where sm_90 has 232448"),
        ({"shared": 150_000}, "150000 bytes of shared memory, more than asrnn.ops.triton.reach expects"),
        ({"registers": 256}, "256 registers a thread, 65536 in all"),
        ({"spilled": 136}, "136 bytes spilled"),
        ({"reloads": True}, "loads the weight at every step"),
    ],
)
def test_a_kernel_that_does_not_fit_has_a_problem(changes: dict[str, int], problem: str | None) -> None:
    assert replace(FINE, **changes).problem() == problem  # type: ignore[arg-type]


def test_an_unsupported_size_is_not_compiled() -> None:
    with pytest.raises(UsageError, match="a hidden size of 512 does not fit on sm_80"):
        compile_kernel("forward", SM_80, 512, gated=False)

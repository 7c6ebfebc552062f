"""``asrnn-bench list models`` shows a row for each model on terminals of 80 to 160 columns, whatever plug-ins do."""

import io
import os
from pathlib import Path

import pytest
from registry_support import BUILT_IN, write
from rich.console import Console

from asrnn.description import ModelDescription
from asrnn.registry import ModelSource
from asrnn_bench.cli import invoke, listing

PLUG_IN = """
from torch import nn

class Good(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_size, batch_first=True)

    def forward(self, x):
        return self.rnn(x)

class Unbuilt(nn.Module):
    def __init__(self, input_size, hidden_size):
        raise RuntimeError("it needs a GPU")
"""
ENTRIES = """
[asrnn.cells]
good-cell = listed_cells:Good
unbuilt-cell = listed_cells:Unbuilt
lost-cell = listed_cells:Lost
"""


@pytest.fixture
def _plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "listed_cells.py", PLUG_IN)
    info = tmp_path / "listed_cells-1.5.dist-info"
    info.mkdir()
    write(info / "METADATA", "Metadata-Version: 2.1\nName: listed-cells\nVersion: 1.5\n")
    write(info / "entry_points.txt", ENTRIES)
    monkeypatch.syspath_prepend(tmp_path)


def printed(width: int, described: list[ModelDescription], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the list on a terminal of so many columns."""
    by_name = {model.source.name: model for model in described}
    monkeypatch.setattr(listing, "model_sources", lambda: [model.source for model in described])
    monkeypatch.setattr("asrnn.description.describe", lambda source: by_name[source.name])
    text = io.StringIO()
    listing.print_models(Console(file=text, width=width, highlight=False, markup=False))
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 119, 120, 160])
def test_nothing_is_cut_off_on_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest name, family, paper, number and back ends that built-in models have, or a little longer."""
    source = ModelSource("antisymmetric-gated", "built-in", "asrnn.cells.antisymmetric_gated:X", {"version": 1})
    paper = "Hochreiter and Schmidhuber, Neural Computation 9, 1997"
    backends = ("triton", "compiled", "fused", "loop")
    known = ModelDescription(source, "elementwise", paper, 1997, 1_234_567, 33_024, backends)
    lines = printed(width, [known], monkeypatch)
    assert max(map(len, lines)) <= width
    (row,) = [line for line in lines if "1,234,567" in line]
    for cell in ("antisymmetric-gated", "elementwise", "1997", "33,024", "triton,", "built in"):
        assert cell in row
    words = " ".join(lines).split()
    for word in [*paper.split(), "triton,", "compiled,", "fused,", "loop"]:
        assert word in words


@pytest.mark.usefixtures("_plug_ins")
def test_a_plug_in_that_cannot_be_built_is_a_row_of_dashes_and_a_warning(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert invoke(["list", "models"]) == 0
    said = capfd.readouterr()
    assert said.err == ""
    rows = {line.split()[0]: line for line in said.out.splitlines() if line.strip()}
    assert set(BUILT_IN) <= set(rows)
    assert " ".join(rows["good-cell"].split()[1:]) == "— — — 16,768 — module entry point of listed-cells 1.5"
    assert " ".join(rows["unbuilt-cell"].split()[1:]) == "— — — — — — entry point of listed-cells 1.5"
    assert "lost-cell" not in rows
    warned = [line for line in said.out.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 2
    assert "plug-in 'lost-cell' is left out: module 'listed_cells' has no class 'Lost'" in warned[0]
    assert "unbuilt-cell cannot be used: Unbuilt(1, 128) failed: RuntimeError: it needs a GPU" in warned[1]
    assert "Traceback" not in said.out


def test_a_pipe_gets_a_line_for_each_model(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert invoke(["list", "models"]) == 0
    lines = capfd.readouterr().out.splitlines()
    (row,) = [line for line in lines if line.startswith("antisymmetric ")]
    assert "Chang et al., ICLR 2019, arXiv 1902.09689" in row
    assert "8,384" in row
    assert row.split()[-2:] == ["built", "in"]
    assert [line for line in lines if line.startswith("models too, as torch.nn:NAME: GRU, LSTM, RNN")]
    assert "COLUMNS" not in os.environ


def test_the_list_of_everything_says_where_there_is_more_of_models(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["list"]) == 0
    assert "asrnn-bench list models" in capfd.readouterr().out

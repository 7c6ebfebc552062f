"""Test descriptions of models against the counts of the papers and the back ends of scans."""

import warnings
from pathlib import Path

import pytest
import torch
from registry_support import write

from asrnn import ModelDescription, build_cell, describe, find_model, model_sources
from asrnn.ops import compiled, scan_with

FAMILY = """
import torch
from torch import nn
from asrnn import RecurrentCell

class Carries(RecurrentCell):
    family = "a test's"
    paper = "Nobody, nowhere"
    year = 2001
    state_names = ("h", "memory")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.weight = nn.Parameter(torch.ones(hidden_size, input_size))
        self.fixed = nn.Parameter(torch.ones(7), requires_grad=False)

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, self.hidden_size), torch.zeros(batch_size, 3, 2)

    def step(self, u, state):
        h, memory = state
        return h + u @ self.weight.T, memory

class NotBuilt(Carries):
    def __init__(self, input_size, hidden_size):
        raise ValueError("no such luck")

class NoCell(nn.Module):
    family = 5

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_size, batch_first=True)

    def forward(self, x):
        return self.rnn(x)
"""


def described(folder: Path, name: str, **sizes: int) -> ModelDescription:
    return describe(find_model(f"{write(folder / 'cells.py', FAMILY)}:{name}"), **sizes)


@pytest.mark.parametrize(
    ("name", "parameters", "state_size"),
    [
        ("antisymmetric", 128 * 127 // 2 + 128 + 128, 128),
        ("antisymmetric-gated", 128 * 127 // 2 + 2 * (128 + 128), 128),
        ("lstm", 4 * 128 * (128 + 1 + 2), 256),
        ("gru", 3 * 128 * (128 + 1 + 2), 128),
        ("feedback", 128 * 128 + 128 + 128, 128),
    ],
)
def test_parameter_and_state_counts_equal_those_of_the_papers(name: str, parameters: int, state_size: int) -> None:
    found = describe(find_model(name))
    assert (found.parameters, found.state_size, found.fault) == (parameters, state_size, None)


def test_every_built_in_model_has_family_paper_and_year() -> None:
    for source in model_sources():
        found = describe(source, hidden_size=16)
        assert found.fault is None, source.name
        assert found.family, source.name
        assert found.paper, source.name
        assert str(found.year) in found.paper, source.name
        assert found.backends, source.name
        assert found.parameters, source.name


def test_a_users_model_may_have_family_paper_and_year(tmp_path: Path) -> None:
    found = described(tmp_path, "Carries", input_size=2, hidden_size=5)
    assert (found.family, found.paper, found.year) == ("a test's", "Nobody, nowhere", 2001)
    assert (found.parameters, found.state_size, found.backends) == (10, 5 + 6, ("loop",))


def test_a_module_that_is_no_cell_has_no_state_to_count(tmp_path: Path) -> None:
    found = described(tmp_path, "NoCell", hidden_size=4)
    assert (found.family, found.paper, found.year) == ("", "", None)
    assert (found.parameters, found.state_size, found.backends) == (4 * 4 + 4 + 2 * 4, None, ("module",))


def test_the_description_of_a_model_that_cannot_be_built_has_the_fault(tmp_path: Path) -> None:
    found = described(tmp_path, "NotBuilt")
    assert (found.family, found.parameters, found.state_size, found.backends) == ("a test's", None, None, ())
    assert found.fault is not None
    assert "no such luck" in found.fault
    assert "\n" not in found.fault


def test_the_description_of_a_model_that_cannot_be_imported_has_the_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "broken.py", "1 / 0\nclass Cell: pass\n")
    found = describe(find_model(f"{path}:Cell"))
    assert found == ModelDescription(found.source, fault=found.fault)
    assert "ZeroDivisionError" in str(found.fault)


def test_the_listed_back_ends_are_those_that_can_be_requested() -> None:
    found = describe(find_model("antisymmetric"), hidden_size=8).backends
    assert found[-2:] == ("fused", "loop")
    cell = build_cell("antisymmetric", 1, 8)
    for name in found:
        device = "cuda" if name.startswith("triton") else "cpu"
        with scan_with(name.partition("-")[0]):
            cell.to(device).scan(torch.zeros(1, 2, 1, device=device))
        assert cell.scan_backend == name


def test_without_a_compiler_nothing_is_compiled_and_there_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "load_library", lambda *_: "this test has no C compiler")
    compiled.compiled_runner.cache_clear()
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = describe(find_model("feedback"), hidden_size=8)
    finally:
        compiled.compiled_runner.cache_clear()
    assert found.backends[-2:] == ("fused", "loop")
    assert "compiled" not in found.backends
    assert not warned


def test_describing_does_not_change_the_global_generator() -> None:
    before = torch.get_rng_state()
    describe(find_model("rnn"), hidden_size=8)
    assert torch.equal(torch.get_rng_state(), before)

"""Test every registered cell beyond the contract; a new cell is tested without a change here.

``test_contract.py`` checks the contract of all of them: causality, independent samples, state dicts, gradients.
"""

import re

import pytest
import torch
from scan_support import FUSED, PARALLEL, SOURCES, fold, gradients, random_cell, random_run

from asrnn import RecurrentCell
from asrnn.contract.checks.cost import growth
from asrnn.ops import scan_with

EVERY = pytest.mark.parametrize("name", SOURCES)
EXPONENTIALS = ("exprnn", "soft-orthogonal", "fc-urnn")


def tolerance(name: str) -> dict[str, float]:
    """float64; scan and step differ only in the grouping of sums of at most 20 products over at most 17 steps.

    But the backward of torch.matrix_exp errs in proportion to the square of the gradient that it is given: of 300, by
    up to 7e-11.
    """
    return {"rtol": 1e-11, "atol": 1e-10 if name in EXPONENTIALS else 1e-12}


@EVERY
@pytest.mark.parametrize(("B", "T", "I", "H"), [(1, 1, 1, 1), (3, 17, 5, 7), (2, 9, 1, 13), (5, 2, 16, 3)], ids=str)
def test_scan_is_the_fold_of_step(name: str, B: int, T: int, I: int, H: int) -> None:  # noqa: E741
    cell = random_cell(name, I, H)
    x, state = random_run(cell, B, T)
    by_step, step_final = fold(cell, x, state)
    by_scan, scan_final = cell.scan(x, state, return_sequence=True)
    torch.testing.assert_close(by_scan, by_step, **tolerance(name))
    torch.testing.assert_close(scan_final, step_final, **tolerance(name))
    torch.testing.assert_close(
        gradients(cell, x, state, by_scan, scan_final),
        gradients(cell, x, state, by_step, step_final),
        **tolerance(name),
    )


@EVERY
def test_scan_starts_from_the_initial_state(name: str) -> None:
    cell = random_cell(name, 3, 5)
    x, _ = random_run(cell, 2, 4)
    given, _ = cell.scan(x, cell.initial_state(2), return_sequence=True)
    default, final = cell.scan(x, return_sequence=True)
    last, last_final = cell.scan(x)
    assert torch.equal(default, given)
    if cell.scan_backend == "parallel":  # the last output is computed from the last state, and the others without it
        torch.testing.assert_close(last, default[:, -1], **tolerance(name))
    else:
        assert torch.equal(last, default[:, -1])
    assert all(torch.equal(a, b) for a, b in zip(final, last_final, strict=True))
    assert len(final) == len(cell.state_names)


@EVERY
@pytest.mark.parametrize("cut", [1, 8, 16])
def test_chunks_with_the_state_carried_are_one_shot(name: str, cut: int) -> None:
    cell = random_cell(name, 4, 6)
    x, state = random_run(cell, 3, 17)
    whole, final = cell.scan(x, state, return_sequence=True)
    head, carried = cell.scan(x[:, :cut], state, return_sequence=True)
    tail, chunk_final = cell.scan(x[:, cut:], carried, return_sequence=True)
    chunked = torch.cat([head, tail], dim=1)
    torch.testing.assert_close(chunked, whole, **tolerance(name))
    torch.testing.assert_close(
        gradients(cell, x, state, chunked, chunk_final), gradients(cell, x, state, whole, final), **tolerance(name)
    )


@EVERY
def test_gradcheck(name: str) -> None:
    cell = random_cell(name, 2, 3)
    x, state = random_run(cell, 2, 4)
    names = [parameter_name for parameter_name, _ in cell.named_parameters()]

    def scan(x, *rest):
        state, weights = rest[: len(cell.state_names)], rest[len(cell.state_names) :]
        arguments = (x, state)
        parameters = dict(zip(names, weights, strict=True))
        outputs, final = torch.func.functional_call(cell, parameters, arguments)
        return (outputs, *final)

    weights = [parameter.detach().clone().requires_grad_() for parameter in cell.parameters()]
    outputs, *_ = scan(x, *state, *weights)
    used = [(n, w) for n, w in zip(names, weights, strict=True) if not n.startswith("initial")]
    for gradient in torch.autograd.grad(outputs.sum(), (x, *(weight for _, weight in used))):
        assert gradient.any()  # the swapped weights are the ones that are used
    # torch's defaults for float64: differences of 1e-6, agreement to 1e-5.
    assert torch.autograd.gradcheck(scan, (x, *state, *weights))


@EVERY
def test_class_attributes(name: str) -> None:
    cell = random_cell(name, 3, 5)
    assert type(cell).version == SOURCES[name].code["version"] >= 1
    assert (cell.input_size, cell.hidden_size) == (3, 5)
    assert cell.num_parameters() == sum(parameter.numel() for parameter in cell.parameters())
    for structured in type(cell).structured:
        assert cell.get_parameter(structured).requires_grad
    assert type(cell).family
    assert re.search(rf"\b{type(cell).year}\b", type(cell).paper)


def slopes(scan, cell: RecurrentCell) -> list[float]:
    """The log-log slopes of operations and of bytes, from T = 100 to T = 400."""
    found = growth(lambda num_steps: scan(cell, torch.zeros(2, num_steps, cell.input_size)), 100, 400)
    return [found["operations"], found["bytes"]]


LOOPS = [(name, "loop") for name in SOURCES]


OTHERS = [*((name, "fused") for name in FUSED), *((name, "parallel") for name in PARALLEL)]


@pytest.mark.parametrize(("name", "backend"), [*LOOPS, *OTHERS])
@pytest.mark.parametrize("return_sequence", [False, True])
def test_cost_is_linear_in_time(name: str, backend: str, return_sequence: bool) -> None:
    cell = random_cell(name, 3, 8, torch.float32)
    with scan_with(backend):
        found = slopes(lambda cell, x: cell.scan(x, return_sequence=return_sequence)[0], cell)
    assert max(found) <= 1.15, found
    if backend != "parallel":  # which takes about as many operations for any length, and bytes that go with none
        # A matrix that is built once a scan costs as much as 40 fused steps, and the LMU's of order 256 as much as 150.
        assert min(found) >= (0.6 if name == "lmu" else 0.8), found

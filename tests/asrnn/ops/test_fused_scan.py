"""Fused scans in autograd: overlapping and repeated backward passes, unused outputs, no gradients, shared inputs."""

import copy
from functools import partial

import pytest
import torch
from scan_support import equal, fold, gradients, random_cell, random_run, run

from asrnn import build_cell
from asrnn.ops import fused_scan, scan_with
from asrnn.ops.compiled import CompiledRunner
from asrnn.ops.runner import StepRunner

pytestmark = pytest.mark.usefixtures("nan_memory", "backend")


def test_two_forwards_before_a_backward(cell) -> None:
    (x, state), (other_x, other_state) = random_run(cell, 17, 40), random_run(cell, 19, 30)
    expected, other_expected = run(cell, x, state), run(cell, other_x, other_state)
    first, second = (
        cell.scan(x, state, return_sequence=True),
        cell.scan(other_x, other_state, return_sequence=True),
    )
    assert equal(gradients(cell, x, state, *first), expected)
    assert equal(gradients(cell, other_x, other_state, *second), other_expected)


def test_a_second_backward_gives_the_same_numbers(cell) -> None:
    x, state = random_run(cell, 17, 40)
    outputs, final = cell.scan(x, state, return_sequence=True)
    once = gradients(cell, x, state, outputs, final, retain_graph=True)
    run(cell, *random_run(cell, 17, 40))  # uses the buffers that the first backward pass gave back
    assert equal(gradients(cell, x, state, outputs, final, retain_graph=True), once)
    assert equal(gradients(cell, x, state, outputs, final), once)


def test_a_chain_of_scans_in_one_graph(cell) -> None:
    x, state = random_run(cell, 17, 40)
    whole = run(cell, x, state)
    first, carried = cell.scan(x[:, :13], state, return_sequence=True)
    second, final = cell.scan(x[:, 13:], carried, return_sequence=True)
    chained = gradients(cell, x, state, torch.cat([first, second], dim=1), final)
    # The same float32 products, divided at another step: sums of 17 * 40 numbers, each rounded at 6e-8.
    torch.testing.assert_close(chained, whole, rtol=1e-4, atol=1e-4)


def test_without_gradients(cell, backend) -> None:
    x, state = random_run(cell, 17, 40)
    expected, (final,) = cell.scan(x, state, return_sequence=True)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found, (last,) = cell.scan(x, state, return_sequence=True)
            alone, _ = cell.scan(x, state)
        assert not found.requires_grad
        assert torch.equal(found, expected)
        assert torch.equal(last, final)
        assert torch.equal(alone, final)
    run(cell, x, state)  # with the buffers that inference mode used
    assert cell.scan_backend == backend


def test_only_tensors_that_need_a_gradient_get_one(cell) -> None:
    x, state = random_run(cell, 17, 40)
    expected = run(cell, x, state)
    cell.requires_grad_(False)
    outputs, final = cell.scan(x, (state[0].detach(),), return_sequence=True)
    generator = torch.Generator().manual_seed(13)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64).float() for t in (outputs, *final)]
    (towards_x,) = torch.autograd.grad([outputs, *final], x, weights)
    # `gradients` sums its loss in float64 with the same weights, so both are equal up to rounding.
    torch.testing.assert_close(towards_x, expected[0], rtol=1e-5, atol=1e-5)
    cell.requires_grad_(True)
    cell.scan(x.detach())[0].sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("used", ["sequence", "final"])
def test_gradients_with_an_unused_output(cell, used: str) -> None:
    x, state = random_run(cell, 17, 40)
    outputs, (final,) = cell.scan(x, state, return_sequence=True)
    loss = outputs[:, -1].sum() if used == "sequence" else final.sum()
    found = torch.autograd.grad(loss, [x, *cell.parameters()])
    last, _ = cell.scan(x, state)
    expected = torch.autograd.grad(last.sum(), [x, *cell.parameters()])
    assert equal(found, expected)


def test_a_parameter_changed_before_the_backward_is_an_error(cell) -> None:
    x, state = random_run(cell, 3, 4)
    output, _ = cell.scan(x, state)
    with torch.no_grad():
        cell.weight_ih.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_autocast_does_not_round_within_a_scan(cell) -> None:
    x, state = random_run(cell, 17, 40)
    expected = run(cell, x, state)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, final = cell.scan(x, state, return_sequence=True)
        found = gradients(cell, x, state, outputs, final, retain_graph=True)
        again = gradients(cell, x, state, outputs, final)
    assert outputs.dtype == torch.float32
    assert equal(found, expected)
    assert equal(again, expected)


def test_a_strided_input(cell) -> None:
    x = torch.randn(3, 40, 17, generator=torch.Generator().manual_seed(0)).permute(2, 1, 0)
    assert torch.equal(cell.scan(x)[0], cell.scan(x.contiguous())[0])


def test_outputs_may_be_changed_in_place(cell) -> None:
    outputs, (final,) = cell.scan(random_run(cell, 17, 40)[0], return_sequence=True)
    final += 1
    outputs *= 2
    (outputs.sum() + final.sum()).backward()


def test_gradients_that_sum_terms_of_one_sign_are_accurate(backend) -> None:
    """The gradients are sums of 50,000 positive terms. A running total would be wrong in the fifth digit."""
    exact = build_cell("indrnn", 1, 16).double()
    draw = partial(torch.rand, generator=torch.Generator().manual_seed(14))
    with torch.no_grad():
        exact.weight_hh.fill_(0.5)  # so that rounding errors decay within some steps
        exact.weight_ih.abs_()
        exact.bias.fill_(0.1)
    x = draw(64, 784, 1).sub(0.9).clamp(min=0)  # most pixels are black, and equal terms have equal rounding errors
    found = []
    for cell, name in ((copy.deepcopy(exact).float(), backend), (exact, "fused")):
        with scan_with(name):
            outputs, _ = cell.scan(x.to(cell.bias.dtype), return_sequence=True)
        found.append(torch.autograd.grad(outputs.sum(), list(cell.parameters())))
    for some, exactly in zip(*found, strict=True):
        assert (some - exactly).norm() < 2e-6 * exactly.norm()


def test_an_input_with_two_equal_samples_is_not_taken_for_shared() -> None:
    cell = random_cell("antisymmetric", 9, 21, torch.float32)
    x, state = random_run(cell, 17, 40)
    with torch.no_grad():
        x[-1] = x[0]
    expected, _ = fold(cell, x, state)
    # 40 steps in float32, each rounded at 6e-8 and enlarged by the weights.
    torch.testing.assert_close(cell.scan(x, state, return_sequence=True)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shared_steps", [30, 40])
def test_a_shared_input_is_projected_once(backend, monkeypatch, shared_steps: int) -> None:
    """All samples share the last steps, as they may share noise. The results are the same with fewer products."""
    cell = random_cell("antisymmetric-gated", 9, 21, torch.float32)
    x, state = random_run(cell, 17, 40)
    with torch.no_grad():
        x[:, 40 - shared_steps :] = x[:1, 40 - shared_steps :]
    cell.scan(x, state)  # so that the first run of the back end is over
    seen = []
    compare = fused_scan._samples_are_equal

    def spy(x):
        seen.append(compare(x))
        return seen[-1]

    for runner in (StepRunner, CompiledRunner):
        monkeypatch.setattr(runner, "chunk_length", lambda self, state, num_steps: 7)
    monkeypatch.setattr(fused_scan, "_samples_are_equal", spy)
    once = run(cell, x, state)
    exact = copy.deepcopy(cell).double()
    x64, state64 = x.detach().double().requires_grad_(), tuple(h.detach().double().requires_grad_() for h in state)
    expected = gradients(exact, x64, state64, *fold(exact, x64, state64))
    # By norms: 40 steps in float32, each rounded at 6e-8 and enlarged by weights of 0.7 times normal numbers.
    assert all(((a.double() - b).norm() / b.norm()).item() < 2e-5 for a, b in zip(once, expected, strict=True))
    # With 30 shared steps, the first two of the six chunks of 7 are not fully shared. Each pass compares each chunk
    # once.
    assert sum(seen) == len(seen) * (4 if shared_steps == 30 else 6) // 6

"""The fused scan as autograd sees it: graphs that overlap, are dropped, run twice, in threads, without gradients."""

import copy
import gc
import os
import signal
import threading

import pytest
import torch
from scan_support import fold, gradients, needs_compiler, random_cell, random_run

from asrnn import build_cell
from asrnn.cells.antisymmetric import Antisymmetric
from asrnn.errors import ModelError
from asrnn.ops import buffers, driver, free_buffers, scan_with, tiles
from asrnn.ops.compiled import CompiledRunner
from asrnn.ops.runner import StepRunner

NAMES = ["antisymmetric", "antisymmetric-gated"]
pytestmark = pytest.mark.usefixtures("nan_memory")


@pytest.fixture(params=["fused", "compiled"], autouse=True)
def backend(request: pytest.FixtureRequest, threads_of_torch):
    if request.param == "compiled":
        needs_compiler("antisymmetric")
    threads_of_torch(2 if request.param == "compiled" else 1)  # the other leaves threads to torch
    with scan_with(request.param):
        yield request.param


@pytest.fixture(params=NAMES)
def cell(request: pytest.FixtureRequest):
    return random_cell(request.param, 3, 21, torch.float32)


def run(cell, x, state, **keywords):
    outputs, final = cell.scan(x, state, return_sequence=True)
    return gradients(cell, x, state, outputs, final, **keywords)


def equal(some, others) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


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
    run(cell, *random_run(cell, 17, 40))  # takes the buffers that the first backward gave back
    assert equal(gradients(cell, x, state, outputs, final, retain_graph=True), once)
    assert equal(gradients(cell, x, state, outputs, final), once)


def test_a_chain_of_scans_in_one_graph(cell) -> None:
    x, state = random_run(cell, 17, 40)
    whole = run(cell, x, state)
    first, carried = cell.scan(x[:, :13], state, return_sequence=True)
    second, final = cell.scan(x[:, 13:], carried, return_sequence=True)
    chained = gradients(cell, x, state, torch.cat([first, second], dim=1), final)
    # The same products in float32, cut at another step: sums of 17 * 40 numbers, each rounded at 6e-8.
    torch.testing.assert_close(chained, whole, rtol=1e-4, atol=1e-4)


def test_threads_do_not_meet(cell, backend: str) -> None:
    runs = [random_run(cell, 16 + k, 30) for k in range(4)]
    cells = [copy.deepcopy(cell) for _ in runs]
    expected = [run(cell, *each) for each in runs]
    found = [None] * len(runs)

    def work(k: int) -> None:
        with scan_with(backend):
            for _ in range(5):
                found[k] = run(cells[k], *runs[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


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
    run(cell, x, state)  # on buffers that inference mode has used
    assert cell.scan_backend == backend


def test_the_threads_of_torch_stay_as_they_were(cell, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "_pools", {})
    threads, seen = torch.get_num_threads(), []
    cell.scan(random_run(cell, 40, 5)[0])
    assert torch.get_num_threads() == threads
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [threads]


def test_a_tile_per_thread(backend: str) -> None:
    threads = torch.get_num_threads()
    assert [tile.stop - tile.start for tile in tiles.tiles_of(41, alone=False)] == ([20, 21] if threads == 2 else [41])
    assert tiles.tiles_of(41, alone=True) == [slice(0, 41)]
    assert tiles.tiles_of(9, alone=False) == [slice(0, 9)]
    at_once = threading.Barrier(threads)  # which would break in a minute if they came one after the other
    tiles.for_each_tile(lambda _: at_once.wait(60), tiles.tiles_of(41, alone=False))
    if threads == 2:
        assert tiles.for_each_tile(lambda _: torch.get_num_threads(), [1, 2]) == [1, 1]


def test_threads_that_cannot_be_started_are_an_error_and_not_a_wait(monkeypatch) -> None:
    monkeypatch.setattr(tiles, "_pools", {})
    start, started = threading.Thread.start, []

    def limited(thread) -> None:
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        tiles.for_each_tile(lambda tile: tile, [1, 2, 3])
    assert torch.get_num_threads() == threads
    started[0].join(10)
    assert not started[0].is_alive()


def test_a_forked_child_scans(cell) -> None:
    x, _ = random_run(cell, 40, 5)
    expected = cell.scan(x)[0].detach()
    with buffers._pool._lock, tiles._lock:  # as if another thread held them
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a child that waits for ever ends by this
            os._exit(0 if torch.equal(cell.scan(x)[0], expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_only_what_needs_a_gradient_gets_one(cell) -> None:
    x, state = random_run(cell, 17, 40)
    expected = run(cell, x, state)
    cell.requires_grad_(False)
    outputs, final = cell.scan(x, (state[0].detach(),), return_sequence=True)
    generator = torch.Generator().manual_seed(13)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64).float() for t in (outputs, *final)]
    (towards_x,) = torch.autograd.grad([outputs, *final], x, weights)
    # The loss of `gradients` sums in float64, and hands on the same weights: equal up to their rounding.
    torch.testing.assert_close(towards_x, expected[0], rtol=1e-5, atol=1e-5)
    cell.requires_grad_(True)
    cell.scan(x.detach())[0].sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("used", ["sequence", "final"])
def test_an_output_that_nobody_uses(cell, used: str) -> None:
    x, state = random_run(cell, 17, 40)
    outputs, (final,) = cell.scan(x, state, return_sequence=True)
    loss = outputs[:, -1].sum() if used == "sequence" else final.sum()
    found = torch.autograd.grad(loss, [x, *cell.parameters()])
    last, _ = cell.scan(x, state)
    expected = torch.autograd.grad(last.sum(), [x, *cell.parameters()])
    assert equal(found, expected)


def test_second_derivatives_are_refused(cell) -> None:
    x, state = random_run(cell, 3, 4)
    output, _ = cell.scan(x, state)
    with pytest.raises(
        ModelError,
        match=r"no second derivative, nor batched gradients: run it within `with asrnn.ops.scan_with\('loop'\)",
    ):
        torch.autograd.grad(output.sum(), x, create_graph=True)


def test_parameters_changed_before_the_backward_are_noticed(cell) -> None:
    x, state = random_run(cell, 3, 4)
    output, _ = cell.scan(x, state)
    with torch.no_grad():
        cell.weight_ih.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_autocast_does_not_round_the_inside(cell) -> None:
    x, state = random_run(cell, 17, 40)
    expected = run(cell, x, state)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, final = cell.scan(x, state, return_sequence=True)
        found = gradients(cell, x, state, outputs, final)
    assert outputs.dtype == torch.float32
    assert equal(found, expected)


def test_a_strided_input(cell) -> None:
    x = torch.randn(3, 40, 17, generator=torch.Generator().manual_seed(0)).permute(2, 1, 0)
    assert torch.equal(cell.scan(x)[0], cell.scan(x.contiguous())[0])


def test_two_equal_samples_do_not_make_an_input_shared() -> None:
    cell = random_cell("antisymmetric", 9, 21, torch.float32)
    x, state = random_run(cell, 17, 40)
    with torch.no_grad():
        x[-1] = x[0]
    expected, _ = fold(cell, x, state)
    # 40 steps in float32.
    torch.testing.assert_close(cell.scan(x, state, return_sequence=True)[0], expected, rtol=1e-4, atol=1e-4)


def test_outputs_may_be_changed_in_place(cell) -> None:
    outputs, (final,) = cell.scan(random_run(cell, 17, 40)[0], return_sequence=True)
    final += 1
    outputs *= 2
    (outputs.sum() + final.sum()).backward()


@pytest.mark.parametrize("shared_steps", [30, 40])
def test_an_input_that_all_samples_share_is_projected_once(backend, monkeypatch, shared_steps: int) -> None:
    """The last steps of a sequence are one for the batch, as noise may be: same numbers, fewer products."""
    cell = random_cell("antisymmetric-gated", 9, 21, torch.float32)
    x, state = random_run(cell, 17, 40)
    with torch.no_grad():
        x[:, 40 - shared_steps :] = x[:1, 40 - shared_steps :]
    cell.scan(x, state)  # the first run of a back end scans too
    seen = []
    look = driver._same_for_all

    def looking(x):
        seen.append(look(x))
        return seen[-1]

    for runner in (StepRunner, CompiledRunner):
        monkeypatch.setattr(runner, "stretch", lambda self, state, num_steps: 7)
    monkeypatch.setattr(driver, "_same_for_all", looking)
    once = run(cell, x, state)
    exact = copy.deepcopy(cell).double()
    x64, state64 = x.detach().double().requires_grad_(), tuple(h.detach().double().requires_grad_() for h in state)
    expected = gradients(exact, x64, state64, *fold(exact, x64, state64))
    # 40 steps in float32, each rounded at 6e-8 and passed on enlarged by weights of 0.7 times normal; by norms.
    assert all(((a.double() - b).norm() / b.norm()).item() < 2e-5 for a, b in zip(once, expected, strict=True))
    # Stretches of 7: with 30 shared steps the first two are not shared throughout. A pass looks at each once.
    assert sum(seen) == len(seen) * (4 if shared_steps == 30 else 6) // 6


def test_buffers_come_back_and_are_used_again(cell, backend: str) -> None:
    free_buffers()
    x, state = random_run(cell, 17, 400)
    for _ in range(20):
        run(cell, x, state)
    free = list(buffers._pool._free)
    # Of each tile: u, the states, the gradient of the sequence, delta where there is a gate, marks for a replay.
    kinds = 3 + cell.recurrence().has_delta + (backend == "compiled")
    assert torch.get_num_threads() * (kinds - 1) <= len(free) <= torch.get_num_threads() * kinds
    assert buffers._pool._leased == 0
    graph = cell.scan(x, state)
    leased = len(buffers._pool._free)
    del graph  # nobody goes back through it
    gc.collect()
    assert len(buffers._pool._free) > leased
    assert len(buffers._pool._free) == len(free)
    free_buffers()
    assert not buffers._pool._free


def test_no_more_is_kept_than_was_ever_used_at_once(cell) -> None:
    free_buffers()
    for num_steps in range(100, 1000, 100):
        run(cell, *random_run(cell, 17, num_steps))
    width = 32 if cell.scan_backend == "compiled" else 21
    most = 17 * 1000 * width * 4 * (1 + cell.recurrence().num_inputs) * 2
    assert sum(buffer.nbytes for buffer in buffers._pool._free) < most


class Doubles:
    """Another step, by inheritance from whatever side."""

    def step(self, u, state):
        (h,) = super().step(u, state)
        return (2 * h,)


class Mixed(Doubles, Antisymmetric):
    pass


class Derived(Antisymmetric):
    def step(self, u, state):
        (h,) = super().step(u, state)
        return (2 * h,)


@pytest.mark.parametrize("cell_class", [Mixed, Derived])
def test_a_subclass_with_another_step_is_not_fused(cell_class) -> None:
    x = torch.ones(2, 3, 1)
    doubled = build_cell(cell_class, 1, 4)
    (h,) = doubled.initial_state(2)
    for x_t in x.unbind(1):
        (h,) = doubled.step(doubled.project(x_t), (h,))
    torch.testing.assert_close(doubled.scan(x)[0], h)
    assert doubled.scan_backend == "loop"

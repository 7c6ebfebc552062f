"""Check the order in time: no output sees a later input, the state carries over, and a scan is its steps."""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from asrnn.cells import RecurrentCell, State
from asrnn.contract.check import TOLERANCE, check
from asrnn.contract.checks.precision import computes_in_float64
from asrnn.contract.checks.samples import mixing_in_training
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.randomness import seeded
from asrnn.contract.report import Verdict, failed, passed, skipped
from asrnn.contract.running import (
    RaisedError,
    gradients_of,
    largest_change,
    model_code,
    run,
    state_argument,
    tensors_of,
    trained_parameters,
)
from asrnn.errors import AsrnnError

LENGTHS_AND_CUTS: tuple[tuple[int, tuple[int, ...]], ...] = ((12, (8,)), (64, (9, 49)), (1024, (389, 811)))
"""T, and the numbers of steps that stay while all later ones change.

A look ahead by any distance below T then shows, because some step before the cut sees one after it. No cut is a
multiple of a length of chunks that a model may use."""

IN_TRAINING = ((64, 37), (300, 137))
SHORT = 64
MANY, MORE = 64, 10.0
"""The number of samples, of which one has changed later inputs, and a factor. Batch statistics move all samples alike.
A look ahead moves that one at least so many times as far as any other."""

LARGE = 5.0
"""The factor of changed inputs: large, so that a mean over many of them shows."""


@check("causality", "hard", needs=("builds", "deterministic", "same-training"))
@torch.no_grad()
def causality(subject: ModelUnderTest) -> Verdict:
    """Outputs are unchanged when later inputs change."""
    model, worst = subject.build(), 0.0
    for full, cuts in LENGTHS_AND_CUTS:
        T = subject.length(full) if full > SHORT else full
        cuts = tuple(subject.length(cut) if full > SHORT else cut for cut in cuts)
        x = subject.sequences(2, T)
        expected = run(model, x).sequence
        if expected is None:
            return skipped("not to be seen: it returns the last output alone, which may depend on every input")
        expected = expected.clone()
        for cut in cuts:
            for later in (LARGE * subject.sequences(2, T, seed=2), torch.zeros_like(x)):
                found = run(model, _changed(x, cut, later)).outputs
                change = largest_change(found[:, :cut], expected[:, :cut])
                if change > TOLERANCE:
                    return _seen(found[:, :cut], expected[:, :cut], change, f"T={T}")
                worst = max(worst, change)
        cut = cuts[-1]
        change = largest_change(run(model, x[:, :cut].clone()).outputs, expected[:, :cut])
        if change > TOLERANCE:
            return failed(
                f"the first {cut} of {T} steps alone give outputs that differ by {change:.2g} times the largest: the "
                "model sees how long the sequence is",
                "let the output of step t depend on x[:, :t + 1] alone, not on the number of steps",
            )
    return _in_training(subject, worst)


def _in_training(subject: ModelUnderTest, worst: float) -> Verdict:
    for full, full_cut in IN_TRAINING:
        T, cut = (subject.length(full), subject.length(full_cut)) if full > SHORT else (full, full_cut)
        x = subject.sequences(3, T)
        expected, found = (
            _trained_outputs(subject, each, without_batch_norm=False)
            for each in (x, _changed(x, cut, LARGE * subject.sequences(3, T, seed=2)))
        )
        change = largest_change(found[:, :cut], expected[:, :cut])
        if change > TOLERANCE and not _is_of_batch_statistics(subject, x, cut):
            return _seen(found[:, :cut], expected[:, :cut], change, f"T={T} in training")
        worst = max(worst, change)
    return passed(f"T up to {subject.length(LENGTHS_AND_CUTS[-1][0]):,}; largest change {worst:.1g}")


def _is_of_batch_statistics(subject: ModelUnderTest, x: Tensor, cut: int) -> bool:
    """Return whether only the statistics of a batch see later inputs, in training only, as batch norm does."""
    changed = _changed(x, cut, LARGE * subject.sequences(*x.shape[:2], seed=2))
    expected, found = (_trained_outputs(subject, each, without_batch_norm=True) for each in (x, changed))
    if largest_change(found[:, :cut], expected[:, :cut]) <= TOLERANCE:
        return True
    mixing, lawful = subject.once(mixing_in_training)
    if mixing <= TOLERANCE or lawful in ("", "batch norm"):
        return False
    x = subject.sequences(MANY, x.shape[1])
    changed = x.clone()
    changed[:1] = _changed(x[:1], cut, LARGE * subject.sequences(1, x.shape[1], seed=2))
    expected, found = (_trained_outputs(subject, each, without_batch_norm=True)[:, :cut] for each in (x, changed))
    moved = (found - expected).abs().flatten(1).amax(dim=1)
    return bool(moved[0] <= MORE * moved[1:].max())


def _trained_outputs(subject: ModelUnderTest, x: Tensor, *, without_batch_norm: bool) -> Tensor:
    model = subject.build().train()
    for module in model.modules():
        if without_batch_norm and isinstance(module, _BatchNorm):
            module.eval()
    with seeded(7):
        return run(model, x).outputs.clone()


def _changed(x: Tensor, cut: int, later: Tensor) -> Tensor:
    return torch.cat([x[:, :cut], later[:, cut:]], dim=1)


def _seen(found: Tensor, expected: Tensor, change: float, where: str) -> Verdict:
    moved = (found - expected).abs().amax(dim=(0, 2))
    first = int((~(moved <= TOLERANCE * expected.abs().max())).nonzero()[0]) + 1
    return failed(
        f"outputs from step {first} on change by up to {change:.2g} times the largest ({where}): the model sees the "
        "future",
        "let the output of step t depend on x[:, :t + 1] alone; no bidirectional layer, no mean over time",
    )


STEPS, CUTS = 17, (1, 8)


@check("carried-state", "hard", needs=("builds", "deterministic"))
def carried_state(subject: ModelUnderTest) -> Verdict:
    """A sequence in two pieces, with the state carried over, gives what it gives in one."""
    verdict = _carried_in(subject, torch.float32)
    if verdict.outcome == "failed" and subject.once(computes_in_float64):
        # A model that enlarges differences from step to step enlarges roundings too: in float64 they stay small.
        return _carried_in(subject, torch.float64)
    return verdict


@torch.no_grad()
def _carried_in(subject: ModelUnderTest, dtype: torch.dtype) -> Verdict:
    model, x = subject.build(alone=True), subject.sequences(3, STEPS, dtype=dtype)
    if dtype == torch.float64:
        with model_code():
            model = model.double()
    whole = run(model, x)
    name = type(model.recurrence).__name__
    argument = state_argument(model.recurrence)
    if argument is None:
        return skipped(f"no state exposed: {name}.forward takes nothing but the sequence")
    if not tensors_of(whole.state):
        return skipped(f"no state exposed: {name} returns its outputs alone")
    worst = 0.0
    for cut in CUTS:
        head = run(model, x[:, :cut])
        try:
            tail = run(model, x[:, cut:], head.state)
        except (RaisedError, AsrnnError):
            if isinstance(model.recurrence, RecurrentCell):
                raise
            return skipped(f"no state to go on from: {name}.forward takes nothing that it returned as its {argument}")
        pairs = [(tail.last, whole.last)]
        if whole.sequence is not None and tail.sequence is not None:
            pairs.append((tail.sequence, whole.sequence[:, cut:]))
        of_tail, of_whole = tensors_of(tail.state), tensors_of(whole.state)
        if len(of_tail) != len(of_whole):
            return failed(
                f"cut after step {cut}, the state has {len(of_tail)} tensors, and {len(of_whole)} without the cut",
                "return a state of the same tensors whatever state the sequence starts from",
            )
        pairs += zip(of_tail, of_whole, strict=True)
        worst = max(worst, *(largest_change(found, expected) for found, expected in pairs))
        if worst > TOLERANCE:
            return failed(
                f"cut after step {cut}, the rest differs by {worst:.2g} times the largest output",
                f"start from the state that {name} is given, and return the state after the last step; where the "
                "second argument of forward is no state, make it keyword-only",
            )
    return passed(f"cut after steps {' and '.join(map(str, CUTS))}, largest difference {worst:.1g}")


@check("scan-is-step", "hard", needs=("builds", "deterministic"))
def scan_is_step(subject: ModelUnderTest) -> Verdict:
    """Scan gives the numbers of step."""
    model, x = subject.build(alone=True), subject.sequences(3, STEPS).requires_grad_()
    cell = model.recurrence
    if not isinstance(cell, RecurrentCell):
        return skipped(f"{type(cell).__name__} is no RecurrentCell: it has no step")
    watched = {"the input": x, **trained_parameters(model)}
    with model_code():
        scanned, final = cell.scan(x, return_sequence=True)
        stepped, last_state = _fold(cell, x)
        last, _ = cell.scan(x)
    pairs = {"outputs": (scanned, stepped), "last output alone": (last, stepped[:, -1])}
    of_scan, of_step = tensors_of(final), tensors_of(last_state)
    if len(of_scan) != len(of_step):
        return failed(
            f"scan returns {len(of_scan)} tensors of state, and step {len(of_step)}", "return the state as step does"
        )
    if len(of_step) != len(cell.state_names):
        return failed(
            f"step returns {len(of_step)} tensors of state, and state_names has {len(cell.state_names)} names",
            "name each tensor of the state in state_names",
        )
    pairs |= {
        f"final state {name}": pair
        for name, pair in zip(cell.state_names, zip(of_scan, of_step, strict=True), strict=True)
    }
    gradients = (_gradients(outputs, list(watched.values())) for outputs in (scanned, stepped))
    pairs |= {f"gradient of {name}": pair for name, pair in zip(watched, zip(*gradients, strict=True), strict=True)}
    for what, (found, expected) in pairs.items():
        change = largest_change(found, expected)
        if change > TOLERANCE:
            return failed(
                f"{what}: off by {change:.2g} times the largest number",
                f"step is what defines {type(cell).__name__}: make scan give its numbers, or leave scan out",
            )
    with model_code():
        return passed(f"outputs, state and {len(watched)} gradients agree; scanned by: {cell.scan_backend}")


def _gradients(outputs: Tensor, watched: list[Tensor]) -> list[Tensor]:
    found = gradients_of(outputs.square().sum(), watched)
    return [torch.zeros_like(tensor) if each is None else each for each, tensor in zip(found, watched, strict=True)]


def _fold(cell: RecurrentCell, x: Tensor) -> tuple[Tensor, State]:
    state, outputs = cell.initial_state(x.shape[0]), []
    for x_t in x.unbind(1):
        state = cell.step(cell.project(x_t), state)
        outputs.append(cell.output(state))
    return torch.stack(outputs, dim=1), state

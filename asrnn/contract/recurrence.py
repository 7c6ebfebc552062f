"""The recurrence is one: it goes on from a state that it handed out, and a scan is its step again and again.

A stack hands out no state; what is looked at is one layer of it.
"""

import torch
from torch import Tensor

from asrnn.cells import RecurrentCell, State
from asrnn.contract.check import TOLERANCE, Check
from asrnn.contract.precision import computes_in_float64
from asrnn.contract.report import Verdict, failed, passed, skipped
from asrnn.contract.subject import (
    RaisedError,
    Subject,
    gradients_of,
    largest_change,
    model_code,
    run,
    state_argument,
    tensors_of,
    trained_parameters,
)
from asrnn.errors import AsrnnError

STEPS, CUTS = 17, (1, 8)


def _carried_state(subject: Subject) -> Verdict:
    verdict = _carried_in(subject, torch.float32)
    if verdict.outcome == "failed" and subject.once(computes_in_float64):
        # A model that enlarges differences from step to step enlarges roundings too: in float64 they stay small.
        return _carried_in(subject, torch.float64)
    return verdict


@torch.no_grad()
def _carried_in(subject: Subject, dtype: torch.dtype) -> Verdict:
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


def _scan_is_step(subject: Subject) -> Verdict:
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


CHECKS = (
    Check(
        "carried-state",
        "hard",
        "a sequence in two pieces, with the state carried over, gives what it gives in one",
        _carried_state,
        ("builds", "deterministic"),
    ),
    Check("scan-is-step", "hard", "scan gives the numbers of step", _scan_is_step, ("builds", "deterministic")),
)

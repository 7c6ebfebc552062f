"""No output sees a later input, however far ahead, in evaluation or in training."""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from asrnn.contract.check import TOLERANCE, Check
from asrnn.contract.isolation import mixing_in_training
from asrnn.contract.randomness import seeded
from asrnn.contract.report import Verdict, failed, passed, skipped
from asrnn.contract.subject import Subject, largest_change, run

LENGTHS_AND_CUTS: tuple[tuple[int, tuple[int, ...]], ...] = ((12, (8,)), (64, (9, 49)), (1024, (389, 811)))
"""T, and how many steps stay as they are while all later ones change.

A look ahead by any distance below T then shows, as some step before the cut sees one behind it. No cut is a multiple of
a length in which a model may take its steps together."""

IN_TRAINING = ((64, 37), (300, 137))
SHORT = 64
MANY, MORE = 64, 10.0
"""Of so many samples, the later inputs of one change: statistics of the batch move all alike, and a look ahead moves
that one alone, so many times as far as any other or more."""

LARGE = 5.0
"""Changed inputs are larger, so that a mean over many of them shows."""


@torch.no_grad()
def _causality(subject: Subject) -> Verdict:
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


def _in_training(subject: Subject, worst: float) -> Verdict:
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


def _is_of_batch_statistics(subject: Subject, x: Tensor, cut: int) -> bool:
    """Say whether it is statistics of a whole batch, in training only, that see later inputs, as batch norm's do."""
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


def _trained_outputs(subject: Subject, x: Tensor, *, without_batch_norm: bool) -> Tensor:
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


CHECKS = (
    Check(
        "causality",
        "hard",
        "outputs are unchanged when later inputs change",
        _causality,
        ("builds", "deterministic", "same-training"),
    ),
)

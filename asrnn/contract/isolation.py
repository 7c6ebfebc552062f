"""Nothing reaches an output that must not: no other sample, no later step, no earlier call."""

import torch

from asrnn.contract.check import TOLERANCE, Check
from asrnn.contract.report import Verdict, failed, passed, skipped
from asrnn.contract.subject import INPUT_SIZE, Subject, largest_change, noise, run

LENGTHS = (5, 1, 31, 5)
STEPS, CHANGED_FROM = 12, 8


@torch.no_grad()
def _variable_length(subject: Subject) -> Verdict:
    model = subject.build()
    first, *_, again = (run(model, noise(2, T, INPUT_SIZE)).outputs for T in LENGTHS)
    change = largest_change(again, first)
    if change > TOLERANCE:
        return failed(
            f"the outputs at T={LENGTHS[0]} differ by {change:.2g} times the largest after a run at T={LENGTHS[-2]}",
            "keep nothing that depends on the length from one call to the next",
        )
    return passed(f"T = {', '.join(map(str, LENGTHS))} with one instance")


@torch.no_grad()
def _batch_independence(subject: Subject) -> Verdict:
    model, x = subject.build(), noise(4, 7, INPUT_SIZE)
    others = noise(4, 7, INPUT_SIZE, seed=2)
    others[-1] = x[-1]
    expected = run(model, x).outputs[-1:]
    change = largest_change(run(model, others).outputs[-1:], expected)
    if change > TOLERANCE:
        return failed(
            f"the outputs of a sample change by {change:.2g} times the largest when the other samples do",
            "take no mean, norm or sum over the batch axis; that axis is the first, [B, T, I]",
        )
    alone = largest_change(run(model, x[-1:]).outputs, expected)
    if alone > TOLERANCE:
        return failed(
            f"the outputs of a sample change by {alone:.2g} times the largest when it comes alone",
            "let nothing depend on the size of the batch",
        )
    return passed(f"largest change {max(change, alone):.1g}")


@torch.no_grad()
def _causality(subject: Subject) -> Verdict:
    model, x = subject.build(), noise(2, STEPS, INPUT_SIZE)
    changed = noise(2, STEPS, INPUT_SIZE, seed=2)
    changed[:, :CHANGED_FROM] = x[:, :CHANGED_FROM]
    expected, found = run(model, x).sequence, run(model, changed).sequence
    if expected is None or found is None:
        return skipped("not to be seen: it returns the last output alone, which may depend on every input")
    change = largest_change(found[:, :CHANGED_FROM], expected[:, :CHANGED_FROM])
    if change > TOLERANCE:
        moved = (found - expected).abs().amax(dim=(0, 2))[:CHANGED_FROM]
        first = int((moved > TOLERANCE * expected.abs().max()).nonzero()[0]) + 1
        return failed(
            f"outputs from step {first} on change by up to {change:.2g} times the largest: the model sees the future",
            "let the output of step t depend on x[:, :t + 1] alone; no bidirectional layer, no mean over time",
        )
    return passed(f"largest change {change:.1g}")


CHECKS = (
    Check(
        "variable-length",
        "hard",
        "one instance takes sequences of any length, and a call leaves no trace",
        _variable_length,
        ("builds", "shapes", "deterministic"),
    ),
    Check(
        "batch-independence",
        "hard",
        "a sample's outputs do not depend on the other samples",
        _batch_independence,
        ("builds", "shapes", "deterministic"),
    ),
    Check(
        "causality",
        "hard",
        f"outputs before step {CHANGED_FROM + 1} are unchanged when inputs from there on change",
        _causality,
        ("builds", "deterministic"),
    ),
)

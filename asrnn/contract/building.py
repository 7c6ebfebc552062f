"""The model is built from two sizes, and gives out tensors of the right shape and precision."""

import torch

from asrnn.contract.check import Check
from asrnn.contract.report import Verdict, failed, passed
from asrnn.contract.subject import HIDDEN_SIZES, INPUT_SIZE, Subject, noise, run
from asrnn.layers import run_layer

ODD_SIZES = ((1, 6, 1, 5), (3, 1, 5, 7), (2, 9, 1, 13), (5, 2, 16, 3))
"""B, T, I and H, each of them odd somewhere and, but for H, 1 somewhere, though never B and T together: a batch of one
that was squeezed away must not pass for a single step."""


def _builds(subject: Subject) -> Verdict:
    refusals = [subject.refusal(INPUT_SIZE, size) for size in HIDDEN_SIZES]
    if None not in refusals:
        return failed(
            str(refusals[0]), "its constructor must take input_size and hidden_size, and may default the rest"
        )
    model = subject.build()
    parameters = f"{model.num_recurrent_parameters():,} parameters"
    return passed(f"{type(model.recurrence).__name__}({INPUT_SIZE}, {subject.hidden_size}) has {parameters}")


def _shapes(subject: Subject) -> Verdict:
    refused = sorted({hidden for _, _, inputs, hidden in ODD_SIZES if subject.refusal(inputs, hidden)})
    in_sequence = run(subject.build(), noise(2, 3, INPUT_SIZE)).sequence is not None
    for B, T, inputs, hidden in ODD_SIZES:
        model = subject.build(inputs, subject.hidden_size if hidden in refused else hidden)
        output = run_layer(model.recurrence, noise(B, T, inputs), model.output_size, return_sequence=in_sequence)
        if output.dtype != torch.float32:
            kind = str(output.dtype).removeprefix("torch.")
            return failed(f"{kind} from a float32 input [{B}, {T}, {inputs}]", "keep the input's precision")
    seen = f"{len(ODD_SIZES)} sizes, down to B=1, T=1, I=1"
    return passed(f"{seen}; hidden_size {', '.join(map(str, refused))} refused by it" if refused else seen)


CHECKS = (
    Check("builds", "hard", "it is built from (input_size, hidden_size) and maps [B, T, I] to [B, T, H]", _builds),
    Check("shapes", "hard", "[B, T, H] or [B, H] in float32 at odd sizes", _shapes, ("builds",)),
)

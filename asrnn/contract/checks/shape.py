"""Check that a model is built from two sizes, returns the right shapes, and does not change torch's settings."""

import torch
from torch import Tensor

from asrnn.contract.check import check
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.report import Verdict, failed, passed, skipped
from asrnn.contract.running import RaisedError, model_code, run
from asrnn.contract.settings import Settings
from asrnn.errors import AsrnnError
from asrnn.layers import run_layer

ODD_SIZES = ((1, 6, 1, 5), (3, 1, 5, 7), (2, 9, 1, 13), (5, 2, 16, 3))
"""B, T, I and H. Each is odd in some size, and each but H is 1 in some size. B and T are never both 1, so that a batch
of one that was squeezed away cannot pass for a single step."""

_ADVICE = "its constructor must take input_size and hidden_size, and may default the rest"


@check("builds", "hard", advice=_ADVICE)
def builds(subject: ModelUnderTest) -> Verdict:
    """It is built from (input_size, hidden_size) and maps [B, T, I] to [B, T, H]."""
    refusals = [subject.refusal(subject.input_size, size) for size in subject.hidden_sizes]
    if refusals[0] is not None and None not in refusals:
        raise refusals[0]
    model = subject.build()
    with model_code():  # a cell may count its own parameters
        parameters = f"{model.num_recurrent_parameters():,} parameters"
    slow = f"; as it is slow, sequences are {subject.shortened} times shorter" if subject.shortened > 1 else ""
    called = f"{type(model.recurrence).__name__}({subject.input_size}, {subject.hidden_size})"
    return passed(f"{called} has {parameters}{slow}")


@check("shapes", "hard", needs=("builds",))
def shapes(subject: ModelUnderTest) -> Verdict:
    """[B, T, H] or [B, H] in float32 at odd sizes."""
    other_sizes: set[int] = set()
    in_sequence = run(subject.build(), subject.sequences(2, 3)).sequence is not None
    for B, T, inputs, hidden in ODD_SIZES:
        if subject.refusal(inputs, subject.hidden_size):
            inputs = subject.input_size
        try:
            output = _output(subject, B, T, inputs, hidden, in_sequence)
        except (AsrnnError, RaisedError):  # a model may need even sizes or multiples of 128, as jobs have them
            other_sizes.add(hidden)
            output = _output(subject, B, T, inputs, subject.hidden_size, in_sequence)
        if output.dtype != torch.float32:
            kind = str(output.dtype).removeprefix("torch.")
            return failed(f"{kind} from a float32 input [{B}, {T}, {inputs}]", "keep the input's precision")
        if output.device.type != torch.device(subject.device).type:
            return failed(f"outputs on {output.device} from an input on {subject.device}", "stay on the input's device")
    seen = f"{len(ODD_SIZES)} sizes, down to B=1, T=1, I=1"
    if other_sizes:
        seen += f"; it takes no hidden_size {', '.join(map(str, sorted(other_sizes)))}"
    return passed(seen)


def _output(subject: ModelUnderTest, B: int, T: int, inputs: int, hidden: int, in_sequence: bool) -> Tensor:
    model = subject.build(inputs, hidden)
    with model_code():
        return run_layer(model.recurrence, subject.noise(B, T, inputs), model.output_size, return_sequence=in_sequence)


@check("settings", "hard", needs=("builds",))
def settings(subject: ModelUnderTest) -> Verdict:
    """Torch's global settings stay as they are."""
    before = Settings.now()
    run(subject.build().train(), subject.sequences(2, 3))
    changed = [*subject.changed_settings, *before.put_back()]
    if changed:
        return failed(
            f"it changes torch for everything in the process: {'; '.join(changed)}",
            "give dtype= and device= to the tensors that are made, and use torch.no_grad() as a context",
        )
    return passed("default dtype, default device and gradient mode")


@check("own-code", "hard", needs=("builds",))
def own_code(subject: ModelUnderTest) -> Verdict:
    """It reads and imports only files that its identity covers."""
    if subject.reads is None:
        return skipped("a class that is handed over has no file that a job would be given")
    subject.reads.refuse()
    return passed(f"{len(subject.reads.covered)} files and folders of its own")

"""The model travels to another process; what a training step costs there, beside torch's LSTM."""

from torch import nn

from asrnn.contract.check import TOLERANCE, Check
from asrnn.contract.report import Verdict, failed, passed
from asrnn.contract.spawned import SpawnedError, outputs_there, steps_there
from asrnn.contract.subject import INPUT_SIZE, Subject, largest_change, noise, run
from asrnn.errors import AsrnnError

B, T, H = 32, 200, 64
"""The size of a timed step: a quarter of the length of pixel-mnist, and the units of budget ``quick``."""


def _pickle(subject: Subject) -> Verdict:
    model, x = subject.build(), noise(2, 6, INPUT_SIZE)
    expected = run(model, x).outputs
    hint = "hold no lambda, local function, generator or open file, and define the class at the top of its file"
    try:
        found = outputs_there(subject.source, model.recurrence, x)
    except AsrnnError:
        raise
    except SpawnedError as error:
        return failed(f"there: {error}", hint)
    except Exception as error:  # pickling may raise anything
        return failed(f"it cannot be pickled: {type(error).__name__}: {' '.join(str(error).split())}", hint)
    change = largest_change(found, expected)
    if change > TOLERANCE:
        return failed(
            f"outputs there differ by {change:.2g} times the largest",
            "keep what the outputs depend on in the module, not in globals or weak references",
        )
    return passed(f"largest difference {change:.1g}")


def _speed(subject: Subject) -> Verdict:
    size = H if subject.refusal(INPUT_SIZE, H) is None else subject.hidden_size
    model = subject.build(hidden_size=size).train()
    lstm = nn.LSTM(INPUT_SIZE, size, batch_first=True)
    own, other = steps_there(subject.source, [model.recurrence, lstm], noise(B, T, INPUT_SIZE))
    found = f"{1000 * own[0]:.0f} ms, {own[0] / other[0]:.1f} times torch.nn.LSTM's"
    if own[1] is not None and other[1] is not None:
        found += f"; {own[1]:.0f} MiB, LSTM {other[1]:.0f}"
    return passed(found)


CHECKS = (
    Check(
        "pickle",
        "hard",
        "it can be sent to a spawned process, and computes the same there",
        _pickle,
        ("builds", "deterministic"),
    ),
    Check(
        "speed",
        "information",
        f"forward and backward at B={B}, T={T}, I={INPUT_SIZE}, H={H}",
        _speed,
        ("builds", "pickle"),
    ),
)

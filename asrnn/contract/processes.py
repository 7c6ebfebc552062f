"""What a training step costs, beside torch's LSTM, in a process of its own."""

from asrnn.cells import RecurrentCell
from asrnn.contract.check import Check
from asrnn.contract.report import Verdict, failed, passed, skipped
from asrnn.contract.spawned import SpawnedError, as_plain, ask
from asrnn.contract.subject import Subject

B, T = 32, 200
"""The size of a timed step: a quarter of the length of pixel-mnist."""


def _speed(subject: Subject) -> Verdict:
    if subject.importable is None:
        return skipped("no other process can import the class: it stands in no file, or not at the top of one")
    request = {
        "source": as_plain(subject.importable),
        "hyper": subject.hyper,
        "sizes": {
            "input_size": subject.input_size,
            "hidden_size": subject.hidden_size,
            "device": subject.device,
        },
        "shape": (B, T),
    }
    try:
        own, other = ask("measure", request)
    except SpawnedError as error:
        return failed(f"there: {error}")
    found = f"{1000 * own[0]:.0f} ms, {own[0] / other[0]:.1f} times torch.nn.LSTM's"
    if own[1] is not None and other[1] is not None:
        found += f"; {own[1]:.0f} MiB, LSTM {other[1]:.0f}"
    recurrence = subject.build(alone=True).recurrence
    if isinstance(recurrence, RecurrentCell) and recurrence.scan_backend == "loop":
        found += "; its steps run in Python: a FusedCell or ParallelCell scans several times faster (CONTRIBUTING.md)"
    return passed(f"H={subject.hidden_size}: {found}")


CHECKS = (Check("speed", "information", f"forward and backward at B={B}, T={T}", _speed, ("builds", "new-process")),)

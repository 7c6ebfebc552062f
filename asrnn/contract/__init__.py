"""The contract: what any recurrent model must satisfy to enter a leaderboard, and what its author should know.

>>> from asrnn.contract import check_model
>>> report = check_model("antisymmetric", gamma=0.1)
>>> report.passed
True
>>> print(report.findings[0].line)
ok    builds              it is built from (input_size, hidden_size) and maps [B, T, I] to [B, T, H]  (Antisymmetric(3, 64) has 2,272 parameters)

Each check stands in the file of its theme; this one puts them in order.
"""  # noqa: E501 - a line of a report is as long as it is

from collections.abc import Iterator

from asrnn.construction import Model
from asrnn.contract import (
    building,
    causality,
    cost,
    gradients,
    isolation,
    long_sequences,
    own_code,
    parameters,
    precision,
    processes,
    recurrence,
    reproducibility,
    resuming,
)
from asrnn.contract.check import Check as Check
from asrnn.contract.report import Finding as Finding
from asrnn.contract.report import Report as Report
from asrnn.contract.report import Verdict as Verdict
from asrnn.contract.subject import INPUT_SIZE as INPUT_SIZE
from asrnn.contract.subject import Subject as Subject

CHECKS: tuple[Check, ...] = (
    *building.CHECKS,
    *reproducibility.CHECKS,
    *precision.CHECKS,
    *isolation.CHECKS,
    *causality.CHECKS,
    *recurrence.CHECKS,
    *parameters.CHECKS,
    *cost.CHECKS,
    *gradients.CHECKS,
    *long_sequences.CHECKS,
    *resuming.CHECKS,
    *own_code.CHECKS,
    *processes.CHECKS,
)
"""All checks, in the order in which a stranger wants to read them; what others need comes first."""

HARD = tuple(check for check in CHECKS if check.severity == "hard")
"""The checks that a run asks for."""


def look(subject: Subject, checks: tuple[Check, ...] = CHECKS) -> Iterator[Finding]:
    """Yield what each check finds, as soon as it is found; nothing more where the model cannot be built.

    Args:
        subject: the model under test.
        checks: which checks, in an order in which what others need comes first.
    """
    broken: set[str] = set()
    for check in checks:
        finding = check(subject, broken)
        if finding.verdict.outcome == "failed" or broken.intersection(check.needs):
            broken.add(check.name)
        yield finding
        if check.name == "builds" and finding.verdict.outcome != "passed":  # all others need a model
            return


def check_model(
    model: Model,
    /,
    *,
    input_size: int = INPUT_SIZE,
    hidden_size: int | None = None,
    device: str | None = None,
    **hyper: object,
) -> Report:
    """Check a model against the whole contract, at the size and on the device of a job, in some ten seconds.

    Args:
        model: a registered name, ``FILE.py:Class``, ``package.module:Class``, a class, or a found source. It is built
            several times, and once more in another process where that can import it.
        input_size: I, the numbers of a step.
        hidden_size: H; None takes the first that the constructor accepts of 64, 128, 256, 512, 16 and 8.
        device: ``cpu`` or ``cuda``; None is where a job would train here, a GPU if torch sees one.
        hyper: its hyper-parameters, under its own names.

    Returns:
        what was found; ``report.passed`` says whether a run would take the model, ``print(report.text)`` why not.

    Raises:
        UsageError: the model or the device is not to be found.
        ModelError: it cannot be imported.
    """
    subject = Subject(model, hyper, input_size=input_size, hidden_size=hidden_size, device=device)
    return Report(subject.name, tuple(look(subject)))

"""The contract: what any recurrent model must satisfy to enter a leaderboard, and what its author should know.

>>> from asrnn.contract import check_model
>>> report = check_model("antisymmetric", gamma=0.1)
>>> report.passed
True
>>> print(report.findings[0].line)
ok    builds              it is built from (input_size, hidden_size) and maps [B, T, I] to [B, T, H]  (Antisymmetric(3, 8) has 60 parameters)

Each check stands in the file of its theme; this one puts them in order.
"""  # noqa: E501 - a line of a report is as long as it is

from collections.abc import Iterator

from asrnn.construction import Model
from asrnn.contract import (
    building,
    cost,
    gradients,
    isolation,
    long_sequences,
    parameters,
    precision,
    processes,
    recurrence,
    reproducibility,
)
from asrnn.contract.check import Check as Check
from asrnn.contract.report import Finding as Finding
from asrnn.contract.report import Report as Report
from asrnn.contract.report import Verdict as Verdict
from asrnn.contract.spawned import refuse_there
from asrnn.contract.subject import Subject as Subject

CHECKS: tuple[Check, ...] = (
    *building.CHECKS,
    *reproducibility.CHECKS,
    *precision.CHECKS,
    *isolation.CHECKS,
    *recurrence.CHECKS,
    *parameters.CHECKS,
    *gradients.CHECKS,
    *long_sequences.CHECKS,
    *cost.CHECKS,
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
        if "builds" in broken:  # all others need a model
            return


def check_model(model: Model, /, **hyper: object) -> Report:
    """Check a model against the whole contract, on the CPU, in a few seconds.

    Args:
        model: a registered name, ``FILE.py:Class``, ``package.module:Class``, a class, or a found source. It is built
            at small sizes, several times, and sent to a spawned process once: a script that calls this needs
            ``if __name__ == "__main__":``, as every script does that spawns processes.
        hyper: its hyper-parameters, under its own names.

    Returns:
        what was found; ``report.passed`` says whether a run would take the model, ``print(report.text)`` why not.

    Raises:
        UsageError: it is not to be found, or a script that lacks the line above is imported by the spawned process.
        ModelError: it cannot be imported.
    """
    refuse_there()
    subject = Subject(model, hyper)
    return Report(subject.name, tuple(look(subject)))

"""Check that a recurrent model keeps the contract, which every model of a leaderboard must keep.

>>> from asrnn.contract import check_model
>>> report = check_model("antisymmetric", gamma=0.1)
>>> report.passed
True
>>> print(report.findings[0].line)
ok    builds              it is built from (input_size, hidden_size) and maps [B, T, I] to [B, T, H]  (Antisymmetric(3, 64) has 2,272 parameters)

Each check is a function in ``asrnn/contract/checks``; its docstring says what is expected.
"""  # noqa: E501 - a line of a report is as long as it is

from collections.abc import Iterator

from asrnn.construction import Model
from asrnn.contract.check import Check as Check
from asrnn.contract.checks import (
    cost,
    gradients,
    lengths,
    parameters,
    precision,
    repetition,
    resuming,
    samples,
    shape,
    time,
)
from asrnn.contract.model_under_test import INPUT_SIZE as INPUT_SIZE
from asrnn.contract.model_under_test import ModelUnderTest as ModelUnderTest
from asrnn.contract.report import Finding as Finding
from asrnn.contract.report import Report as Report
from asrnn.contract.report import Verdict as Verdict

CHECKS: tuple[Check, ...] = (
    shape.builds,
    shape.shapes,
    shape.settings,
    repetition.initialization,
    repetition.own_seed,
    repetition.deterministic,
    repetition.same_training,
    repetition.state_dict,
    repetition.train_is_eval,
    precision.float64,
    samples.variable_length,
    samples.no_carry,
    samples.no_hoard,
    samples.batch_independence,
    samples.batch_statistics,
    time.causality,
    time.carried_state,
    time.scan_is_step,
    parameters.parameters,
    parameters.made_once,
    parameters.reads_input,
    parameters.learning,
    parameters.nonzero_gradients,
    cost.linear_cost,
    gradients.gradient_arrives,
    gradients.gradcheck,
    lengths.long_sequence,
    lengths.finite_gradients,
    lengths.long_gradient,
    resuming.resume,
    resuming.new_process,
    shape.own_code,
    cost.speed,
)
"""All checks, in the order of a report; a check comes after those that it needs."""

HARD = tuple(check for check in CHECKS if check.severity == "hard")
"""The checks that a run makes."""


def run_checks(subject: ModelUnderTest, checks: tuple[Check, ...] = CHECKS) -> Iterator[Finding]:
    """Make the checks one by one and yield each finding; stop if the model cannot be built.

    Args:
        subject: the model under test.
        checks: the checks to make; a check comes after those that it needs.
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
            several times, and once more in another process if that process can import it.
        input_size: the input size I of the jobs.
        hidden_size: the hidden size H; None takes the first of 64, 128, 256, 512, 16 and 8 that the model accepts.
        device: ``cpu`` or ``cuda``; None takes the device on which a job would train here: a GPU if torch sees one.
        hyper: the hyper-parameters, under the names of the model.

    Returns:
        the report. ``report.passed`` says whether a run would take the model, ``print(report.text)`` why not.

    Raises:
        UsageError: the model or the device does not exist.
        ModelError: the model cannot be imported.
    """
    subject = ModelUnderTest(model, hyper, input_size=input_size, hidden_size=hidden_size, device=device)
    return Report(subject.name, tuple(run_checks(subject)))

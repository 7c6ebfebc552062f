"""Report the findings about a model: one line for each check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["hard", "warning", "information"]
"""The weight of a failure: a run refuses a model that fails a ``hard`` check; the others inform its author."""

Outcome = Literal["passed", "failed", "skipped"]

SHOWN = 3
"""How many of many names a line shows."""

_WORDS: dict[tuple[Severity, Outcome], str] = {
    ("hard", "failed"): "FAIL",
    ("warning", "failed"): "warn",
    ("information", "failed"): "info",
    ("information", "passed"): "info",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check.

    Args:
        outcome: whether the expectation holds; ``skipped`` if that could not be determined.
        found: the observation, with its number if there is one; for a skipped check, the reason.
        advice: what to do about a failure.
    """

    outcome: Outcome
    found: str
    advice: str = ""


def passed(found: str) -> Verdict:
    """Return the verdict that the expectation holds."""
    return Verdict("passed", found)


def failed(found: str, advice: str = "") -> Verdict:
    """Return the verdict that the expectation does not hold."""
    return Verdict("failed", found, advice)


def skipped(why: str) -> Verdict:
    """Return the verdict of a skipped check, with the reason."""
    return Verdict("skipped", why)


def listed(names: Sequence[str]) -> str:
    """Return the first few of many names as a text."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@dataclass(frozen=True, slots=True)
class Finding:
    """A check and its verdict.

    Args:
        name: the name of the check.
        severity: ``hard``, ``warning`` or ``information``: what a failure means.
        expected: what must hold, in words.
        verdict: the outcome, and what was found.
        seconds: how long the check took.
    """

    name: str
    severity: Severity
    expected: str
    verdict: Verdict
    seconds: float

    @property
    def refuses(self) -> bool:
        """Whether a run refuses the model because of this finding."""
        return self.severity == "hard" and self.verdict.outcome == "failed"

    @property
    def line(self) -> str:
        """The line of the finding: ``ok    causality            what was expected  (what was found)``."""
        outcome = self.verdict.outcome
        word = "skip" if outcome == "skipped" else _WORDS.get((self.severity, outcome), "ok")
        return f"{word:<5} {self.name:<19} {self.words}"

    @property
    def words(self) -> str:
        """The expectation, the observation and, for a failure, the advice."""
        verdict = self.verdict
        if verdict.outcome != "failed":
            return f"{self.expected}  ({verdict.found})"
        return f"expected: {self.expected}; found: {verdict.found}" + (f"; {verdict.advice}" if verdict.advice else "")


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about a model, in the order in which they were made."""

    model: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether a run takes the model; it also takes a model that could not be :attr:`judged` here."""
        return not self.refusals

    @property
    def judged(self) -> bool:
        """Whether the model could be checked. A model that needs a GPU cannot, on a machine without one."""
        return not any(each.name == "builds" and each.verdict.outcome == "skipped" for each in self.findings)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The hard checks that failed."""
        return tuple(finding for finding in self.findings if finding.refuses)

    def count(self, outcome: Outcome) -> int:
        """Return the number of checks with an outcome."""
        return sum(finding.verdict.outcome == outcome for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One line about all checks."""
        seconds = f"{sum(finding.seconds for finding in self.findings):.1f} s"
        if self.refusals:
            names = ", ".join(finding.name for finding in self.refusals)
            return f"{self.model} breaks the contract, and a run would refuse it: {names} ({seconds})"
        if not self.judged:
            return f"{self.model} was not judged: {self.findings[0].verdict.found}"
        warnings = self.count("failed")
        return (
            f"{self.model} keeps the contract: {self.count('passed')} checks passed, {warnings} "
            f"warning{'' if warnings == 1 else 's'}, {self.count('skipped')} skipped ({seconds})"
        )

    @property
    def text(self) -> str:
        """All lines, with the verdict at the end."""
        return "\n".join([*(finding.line for finding in self.findings), self.verdict])

"""What the contract has to say of a model: one finding a check, each of them one line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["hard", "warning", "information"]
"""What a failure means: a ``hard`` one keeps a model out of every run, the others are for its author to know."""

Outcome = Literal["passed", "failed", "skipped"]

SHOWN = 3
"""So many names are told of many."""

_WORDS: dict[tuple[Severity, Outcome], str] = {
    ("hard", "failed"): "FAIL",
    ("warning", "failed"): "warn",
    ("information", "failed"): "info",
    ("information", "passed"): "info",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look at a model came to.

    Args:
        outcome: whether what was expected is so; ``skipped`` where it could not be seen.
        found: what was seen, with the number where there is one; for a skip, why nothing was.
        advice: what to do about it.
    """

    outcome: Outcome
    found: str
    advice: str = ""


def passed(found: str) -> Verdict:
    """Say that what was expected is so."""
    return Verdict("passed", found)


def failed(found: str, advice: str = "") -> Verdict:
    """Say that what was expected is not so."""
    return Verdict("failed", found, advice)


def skipped(why: str) -> Verdict:
    """Say why there was nothing to see."""
    return Verdict("skipped", why)


def listed(names: Sequence[str]) -> str:
    """Name the first few of many."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@dataclass(frozen=True, slots=True)
class Finding:
    """A check and what it came to.

    Args:
        name: the check's.
        severity: what a failure means.
        expected: what must be so, in words.
        verdict: what was seen.
        seconds: how long the look took.
    """

    name: str
    severity: Severity
    expected: str
    verdict: Verdict
    seconds: float

    @property
    def refuses(self) -> bool:
        """Whether it keeps the model out of every run."""
        return self.severity == "hard" and self.verdict.outcome == "failed"

    @property
    def line(self) -> str:
        """The finding as it is shown: ``ok    causality            what was expected  (what was found)``."""
        outcome = self.verdict.outcome
        word = "skip" if outcome == "skipped" else _WORDS.get((self.severity, outcome), "ok")
        return f"{word:<5} {self.name:<19} {self.words}"

    @property
    def words(self) -> str:
        """What was expected, what was found, and for a failure what to do."""
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
        """Whether a run takes the model; it also takes one that could not be :attr:`judged` here."""
        return not self.refusals

    @property
    def judged(self) -> bool:
        """Whether the model could be looked at: one that needs a GPU cannot, on a machine without."""
        return not any(each.name == "builds" and each.verdict.outcome == "skipped" for each in self.findings)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The hard checks that failed."""
        return tuple(finding for finding in self.findings if finding.refuses)

    def count(self, outcome: Outcome) -> int:
        """Return how many checks came to an outcome."""
        return sum(finding.verdict.outcome == outcome for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One line over all checks."""
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
        """All lines, the verdict last."""
        return "\n".join([*(finding.line for finding in self.findings), self.verdict])

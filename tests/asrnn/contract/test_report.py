"""The lines of a report, and what a check makes of whatever a model does to it."""

import pytest
import torch
from broken_models import Sound

from asrnn.contract import Check, Finding, Report, Subject, look
from asrnn.contract.report import Severity, Verdict, failed, listed, passed, skipped
from asrnn.errors import ModelError


def finding(severity: Severity, verdict: Verdict, name: str = "causality") -> Finding:
    return Finding(name, severity, "outputs stay", verdict, 0.25)


@pytest.mark.parametrize(
    ("severity", "verdict", "line"),
    [
        ("hard", passed("largest change 0"), "ok    causality           outputs stay  (largest change 0)"),
        ("hard", skipped("none"), "skip  causality           outputs stay  (none)"),
        (
            "hard",
            failed("a leak", "mend it"),
            "FAIL  causality           expected: outputs stay; found: a leak; mend it",
        ),
        ("warning", failed("a leak"), "warn  causality           expected: outputs stay; found: a leak"),
        ("warning", passed("0"), "ok    causality           outputs stay  (0)"),
        ("information", passed("3 ms"), "info  causality           outputs stay  (3 ms)"),
        ("information", failed("a leak"), "info  causality           expected: outputs stay; found: a leak"),
    ],
)
def test_a_finding_is_one_line(severity: Severity, verdict: Verdict, line: str) -> None:
    assert finding(severity, verdict).line == line


def test_only_a_hard_failure_refuses_and_the_verdict_counts_the_rest() -> None:
    soft = [
        finding("hard", passed("0")),
        finding("warning", failed("a")),
        finding("information", failed("b")),
        finding("hard", skipped("c")),
    ]
    report = Report("m", tuple(soft))
    assert report.passed
    assert report.verdict == "m keeps the contract: 1 checks passed, 2 warnings, 1 skipped (1.0 s)"
    report = Report("m", (*soft, finding("hard", failed("d")), finding("hard", failed("e"), "pickle")))
    assert not report.passed
    assert report.verdict == "m breaks the contract, and a run would refuse it: causality, pickle (1.5 s)"
    assert report.text.splitlines() == [*(each.line for each in report.findings), report.verdict]


def test_of_many_names_the_first_few_are_told() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


SUBJECT = Subject(Sound, {})


def test_whatever_a_look_raises_is_a_failure_with_the_advice_of_its_check() -> None:
    def raises(error: Exception) -> Finding:
        def look_at(subject: Subject) -> Verdict:
            raise error

        return Check("c", "hard", "e", look_at, advice="do this")(SUBJECT)

    assert raises(ModelError("it is wrong")).verdict == failed("it is wrong", "do this")
    assert raises(KeyError("two\nlines")).verdict == failed("it raised KeyError: 'two\\nlines'", "do this")
    with pytest.raises(KeyboardInterrupt):
        raises(KeyboardInterrupt())  # type: ignore[arg-type]


def test_a_look_draws_the_same_numbers_whoever_asks_and_leaves_no_trace() -> None:
    drawn = []

    def draws(subject: Subject) -> Verdict:
        drawn.append(torch.rand(3).tolist())
        return passed(str(torch.is_grad_enabled()))

    check = Check("c", "hard", "e", draws)
    torch.manual_seed(4)
    state = torch.get_rng_state()
    with torch.no_grad():
        assert check(SUBJECT).verdict.found == "True"
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    check(SUBJECT)
    assert drawn[0] == drawn[1]


def test_a_check_is_skipped_where_one_that_it_needs_failed_or_was_itself_skipped_for_that() -> None:
    checks = (
        Check("first", "hard", "e", lambda subject: failed("no")),
        Check("second", "hard", "e", lambda subject: passed("yes"), ("first",)),
        Check("third", "hard", "e", lambda subject: passed("yes"), ("second",)),
        Check("fourth", "hard", "e", lambda subject: skipped("not to be seen")),
        Check("fifth", "hard", "e", lambda subject: passed("yes"), ("fourth",)),
    )
    found = {each.name: (each.verdict.outcome, each.verdict.found) for each in look(SUBJECT, checks)}
    assert found["second"] == ("skipped", "not looked at, as first failed")
    assert found["third"] == ("skipped", "not looked at, as second failed")
    assert found["fifth"] == ("passed", "yes")  # what cannot be seen is no failure

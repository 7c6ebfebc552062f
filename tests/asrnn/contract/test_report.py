"""The lines of a report, and the verdict on exceptions that a check or a model raises."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from broken_models import Sound

from asrnn.contract import Check, Finding, ModelUnderTest, Report, run_checks
from asrnn.contract.checks import cost
from asrnn.contract.report import Severity, Verdict, failed, listed, passed, skipped
from asrnn.contract.running import model_code
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


def test_a_list_of_many_names_shows_the_first_three() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


SUBJECT = ModelUnderTest(Sound, {}, hidden_size=8, device="cpu")


def _raises(error: BaseException, *, in_the_model: bool, name: str = "c") -> Finding:
    def look_at(subject: ModelUnderTest) -> Verdict:
        with model_code() if in_the_model else nullcontext():
            raise error

    return Check(name, "hard", "e", look_at, advice="do this")(SUBJECT)


def test_an_exception_of_the_model_fails_with_the_advice_of_the_check() -> None:
    assert _raises(ModelError("it is wrong"), in_the_model=True).verdict == failed("it is wrong", "do this")
    assert _raises(ModelError("it is wrong"), in_the_model=False).verdict == failed("it is wrong", "do this")
    found = _raises(KeyError("two\nlines"), in_the_model=True).verdict
    assert found == failed("it raised KeyError: 'two\\nlines'", "do this")
    assert _raises(SystemExit(3), in_the_model=True).verdict == failed("it raised SystemExit: 3", "do this")
    with pytest.raises(KeyboardInterrupt):
        _raises(KeyboardInterrupt(), in_the_model=True)


def test_an_exception_of_the_check_itself_is_a_skip() -> None:
    finding = _raises(KeyError("a fault"), in_the_model=False)
    assert not finding.refuses
    assert finding.verdict.outcome == "skipped"
    assert "the check itself failed, which is no fault of the model: KeyError: 'a fault'" in finding.verdict.found
    assert "test_report.py, line " in finding.verdict.found
    assert "not enough memory" in _raises(MemoryError(), in_the_model=False).verdict.found


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (RuntimeError("Found no NVIDIA driver on your system"), True),
        (AssertionError("Torch not compiled with CUDA enabled"), True),
        (RuntimeError("0 active drivers ([]). There should only be one."), True),
        (OSError("libcudart.so.12: cannot open shared object file"), True),
        (AttributeError("module 'torch.cuda' has no attribute 'Event'"), True),
        (RuntimeError("the sizes do not fit"), False),
        (RuntimeError("CudaLSTM takes even sizes"), False),
        (AttributeError("'CudaLSTM' object has no attribute 'hidden'"), False),
        (AttributeError("'Triton' object has no attribute 'hidden'"), False),
        (NameError("name 'cuda' is not defined"), False),
    ],
)
def test_an_error_that_asks_for_cuda_is_a_skip_on_the_cpu(error: Exception, needed: bool) -> None:
    finding = _raises(error, in_the_model=True)
    assert (finding.verdict.outcome == "skipped") == needed
    assert ("it needs CUDA, and this is the CPU" in finding.line) == needed


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8000000000 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB"),
    ],
)
def test_too_little_memory_is_a_skip_unless_the_model_cannot_be_built(error: Exception) -> None:
    of_another = ModelError("it failed")
    of_another.__cause__ = error
    for each in (error, of_another):
        for in_the_model in (True, False):
            found = _raises(each, in_the_model=in_the_model).verdict
            assert found == skipped("this machine has not enough memory for this check")
    assert _raises(MemoryError(), in_the_model=True, name="builds").verdict.outcome == "failed"


def test_a_check_draws_the_same_numbers_each_time_and_restores_the_settings() -> None:
    drawn = []

    def draws(subject: ModelUnderTest) -> Verdict:
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


def test_a_check_is_skipped_if_a_check_that_it_needs_failed_or_was_skipped_for_that() -> None:
    checks = (
        Check("first", "hard", "e", lambda subject: failed("no")),
        Check("second", "hard", "e", lambda subject: passed("yes"), ("first",)),
        Check("third", "hard", "e", lambda subject: passed("yes"), ("second",)),
        Check("fourth", "hard", "e", lambda subject: skipped("not to be seen")),
        Check("fifth", "hard", "e", lambda subject: passed("yes"), ("fourth",)),
    )
    found = {each.name: (each.verdict.outcome, each.verdict.found) for each in run_checks(SUBJECT, checks)}
    assert found["second"] == ("skipped", "not looked at, as first failed")
    assert found["third"] == ("skipped", "not looked at, as second failed")
    assert found["fifth"] == ("passed", "yes")  # a skipped check is not a failed one


@pytest.mark.parametrize(
    ("model", "told"), [("examples/my_cell.py:LeakyCell", True), ("antisymmetric", False), ("lstm", False)]
)
def test_speed_names_faster_scans_to_a_cell_whose_steps_run_in_python(
    model: str, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "ask", lambda *words: ((0.1, None), (0.1, None)))
    path = Path(__file__).parents[3] / model
    verdict = cost.speed.function(ModelUnderTest(str(path) if ".py" in model else model, {}, hidden_size=8))
    assert ("a FusedCell or ParallelCell scans several times faster" in verdict.found) is told

"""Each model that is broken on purpose fails the check that is there for it, no other, and says why to a stranger."""

import broken_models
import pytest
import unusual_models

from asrnn.contract import CHECKS, Report, Subject, check_model, look

TEN = {
    "LeaksTheFuture": ({"causality"}, "outputs from step 1 on change", "the model sees the future"),
    "MixesTheBatch": ({"batch-independence"}, "when the other samples do", "no mean, norm or sum over the batch axis"),
    "IgnoresTheState": ({"carried-state"}, "cut after step 1, the rest differs", "start from the state that"),
    "GrowsToNaN": ({"long-sequence"}, "outputs are NaN from step 1483 on", "keep the state from growing"),
    "Transposed": ({"builds"}, "must return [B, T, H] = [2, 3, 8]", "found [2, 8, 3]"),
    "HoldsALambda": ({"pickle"}, "it cannot be pickled", "hold no lambda"),
    "IsNoisy": (
        {"deterministic"},
        "two calls on one input in evaluation mode differ",
        "noise only where self.training",
    ),
    "ForgetsAParameter": ({"learning"}, "no gradient reaches gate.weight, gate.bias", "use each parameter in forward"),
    "IsQuadratic": ({"linear-cost"}, "the bytes of a training step grow as T^1.9", "u.unbind(1)"),
    # A gradient that is cut is also a wrong one.
    "CutsTheGraph": ({"gradient-arrives", "gradcheck"}, "the input of step 199 of 200, yet its gradient", "detach()"),
}

MORE = {
    "TruncatesTheGraph": ({"gradient-arrives"}, "the input of step 100 of 200, yet its gradient", "detach()"),
    "DrawsFromRandom": ({"initialization"}, "V.bias differs between two models built with one seed", "not from random"),
    "KeepsAPlainTensor": ({"state-dict"}, "outputs of another model with the same state dict differ", "nn.Parameter"),
    "Squeezes": ({"shapes"}, "must return [B, T, H] = [1, 6, 5]", "found [6, 5]"),
    "MakesFloat32": ({"float64"}, "dtype", " of broken_models.py)", "x.new_zeros"),
    "IsOtherwiseInTraining": ({"train-is-eval"}, "in training and in evaluation differ", "though nothing is random"),
    "ScansOtherwise": ({"scan-is-step"}, "outputs: off by 0.001 times", "step is what defines ScansOtherwise"),
    "CountsTwice": ({"parameters"}, "num_parameters() says 82, and there are 50", "count degrees of freedom"),
    "Remembers": ({"variable-length"}, "the outputs at T=5 differ by", "from one call to the next"),
    "Attends": ({"linear-cost"}, "the multiplications of a training step grow as T^1.9", "[T, T] matrices"),
    "Explodes": (
        {"finite-gradients"},
        "the gradient of V.weight",
        "the input is not finite",
        "gradients do not explode",
    ),
}

LENGTHY = {"finite-gradients", "long-gradient", "long-sequence", "linear-cost", "speed"}
"""The checks that take the most of the time; what is beyond the ten meets one of them where it is its own."""


def model_called(name: str) -> type:
    return getattr(broken_models, name, None) or getattr(unusual_models, name)


def report_of(name: str, *lengthy: str) -> Report:
    checks = tuple(check for check in CHECKS if check.name not in LENGTHY - set(lengthy))
    return Report(name, tuple(look(Subject(model_called(name), {}), checks)))


def catches(report: Report, checks: set[str], words: tuple[str, ...]) -> None:
    assert {finding.name for finding in report.refusals} == checks, report.text
    assert not report.passed
    line = report.refusals[0].line
    assert line.startswith("FAIL  ")
    assert all(word in line for word in words), line
    assert "\n" not in line
    assert report.text.endswith(report.verdict)
    assert f"a run would refuse it: {', '.join(finding.name for finding in report.refusals)}" in report.verdict


@pytest.mark.parametrize("name", TEN)
def test_each_of_the_ten_is_caught_by_its_own_check_alone_with_words_that_say_why(name: str) -> None:
    checks, *words = TEN[name]
    catches(check_model(model_called(name)), checks, tuple(words))


def test_there_are_ten_and_each_has_its_own_check() -> None:
    assert len(TEN) == 10
    assert len({frozenset(checks) for checks, *_ in TEN.values()}) == 10


@pytest.mark.parametrize("name", MORE)
def test_what_else_is_broken_is_caught_too(name: str) -> None:
    checks, *words = MORE[name]
    catches(report_of(name, *checks), checks, tuple(words))


def test_every_hard_check_catches_somebody() -> None:
    caught = set().union(*(checks for checks, *_ in (TEN | MORE).values()))
    assert caught == {check.name for check in CHECKS if check.severity == "hard"}


@pytest.mark.parametrize(
    ("name", "unseen"),
    [
        ("Sound", {}),
        ("ReturnsTheLast", {"causality": "it returns the last output alone", "carried-state": "no state exposed"}),
        ("HasNoMemory", {"gradient-arrives": "the output depends on the last input alone"}),
        ("WantsSixteens", {}),
        ("DropsInTraining", {"train-is-eval": "it is stochastic in training"}),
        ("KeepsStatistics", {"train-is-eval": "it keeps running statistics in training (norm.running_mean"}),
        ("TakesAMask", {"carried-state": "no state exposed"}),
        ("ForgetsNowAndThen", {}),
    ],
)
def test_what_is_only_unusual_passes_and_what_cannot_be_seen_is_said(name: str, unseen: dict[str, str]) -> None:
    report = report_of(name)
    assert report.passed, report.text
    skips = {f.name: f.verdict.found for f in report.findings if f.verdict.outcome == "skipped"}
    assert "is no RecurrentCell" in skips.pop("scan-is-step")
    assert skips.keys() == unseen.keys()
    assert all(words in skips[check] for check, words in unseen.items()), skips


def test_a_gradient_of_0_is_no_fault_where_the_output_does_not_depend_on_the_input_either() -> None:
    found = {finding.name: finding.verdict.found for finding in report_of("ForgetsNowAndThen").findings}
    assert "the output does not depend on the input" in found["gradient-arrives"]


def test_what_a_model_refuses_is_seen_at_another_size_and_said() -> None:
    found = {finding.name: finding.verdict.found for finding in report_of("WantsSixteens").findings}
    assert found["builds"].startswith("WantsSixteens(3, 16) has")
    assert found["shapes"].endswith("hidden_size 3, 5, 7, 13 refused by it")


def test_a_weak_spot_is_a_warning_and_keeps_nobody_out() -> None:
    report = report_of("StartsDead")
    (warning,) = (finding for finding in report.findings if finding.verdict.outcome == "failed")
    assert (warning.name, warning.severity) == ("nonzero-gradients", "warning")
    assert "the gradient of V.weight, V.bias is exactly 0" in warning.line
    assert warning.line.startswith("warn  ")
    assert report.passed
    assert "1 warning," in report.verdict

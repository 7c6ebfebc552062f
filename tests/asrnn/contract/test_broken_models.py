"""Each model that is broken on purpose must fail its own check, and each unusual model must pass."""

import broken_models
import pytest
import subtly_broken_models
import torch
import unusual_models

from asrnn.contract import CHECKS, ModelUnderTest, Report, check_model, run_checks
from asrnn.contract.checks import lengths

CAUGHT = {
    "LeaksTheFuture": ({"causality"}, "outputs from step 1 on change", "the model sees the future"),
    "MixesTheBatch": ({"batch-independence"}, "when the other samples do", "no mean, norm or sum over the batch axis"),
    "IgnoresTheState": ({"carried-state"}, "cut after step 1, the rest differs", "start from the state that"),
    "GrowsToNaN": ({"long-sequence"}, "outputs are NaN from step 14", "keep the state from growing"),
    "Transposed": ({"builds"}, "must return [B, T, H] = [2, 3, 8]", "found [2, 8, 3]"),
    "IsNoisy": (
        {"deterministic"},
        "two calls on one input in evaluation mode differ",
        "noise only where self.training",
    ),
    "ForgetsAParameter": ({"learning"}, "no gradient reaches gate.weight, gate.bias", "use each parameter in forward"),
    "IsQuadratic": ({"linear-cost"}, "the bytes of a training step grow as T^1.9", "u.unbind(1)"),
    # A gradient that is cut is also wrong.
    "CutsTheGraph": ({"gradient-arrives", "gradcheck"}, "the input of step 1,024 of 1,025", "detach()"),
    "TruncatesTheGraph": ({"gradient-arrives"}, "the input of step 1,000 of 1,025, yet its gradient", "detach()"),
    "TruncatesLongTraining": ({"gradient-arrives"}, "the input of step 1,024 of 1,025, yet its gradient", "detach()"),
    "LearnsFromTheEnd": ({"gradient-arrives"}, "the input of step 625 of 1,025, yet its gradient", "detach()"),
    "DrawsFromRandom": ({"initialization"}, "V.bias differs between two models built with one seed", "not from random"),
    "KeepsAPlainTensor": ({"state-dict"}, "outputs of another model with the same state dict differ", "nn.Parameter"),
    "Squeezes": ({"shapes"}, "must return [B, T, H] = [1, 6, 8]", "found [6, 8]"),
    "TurnsGradientsOff": ({"settings"}, "grad_enabled: True -> False", "use torch.no_grad() as a context"),
    "IsOtherwiseInTraining": ({"train-is-eval"}, "in training and in evaluation differ", "though nothing is random"),
    "DrawsWithoutASeed": ({"same-training"}, "two trainings from one seed differ", "draw from the global generators"),
    "ScansOtherwise": ({"scan-is-step"}, "outputs: off by 0.001 times", "step is what defines ScansOtherwise"),
    "CountsTwice": ({"parameters"}, "num_parameters() says 82, and there are 50", "count degrees of freedom"),
    "Remembers": ({"variable-length", "no-carry"}, "the outputs at B=2, T=5 differ by", "from one call to the next"),
    "Attends": ({"linear-cost"}, "the multiplications of a training step grow as T^1.9", "[T, T] matrices"),
    "Explodes": ({"finite-gradients"}, "the gradient of V.weight", "is not finite", "gradients do not explode"),
    "SeesTheLastSample": ({"batch-independence"}, "when the other samples do"),
    "MixesInTraining": ({"batch-independence"}, "in training, the outputs of a sample change", "BatchNorm1d may"),
    "MixesLargeBatches": ({"batch-independence"}, "when the other samples do"),
    "CountsPlaces": ({"batch-independence"}, "at another place in the batch"),
    "CarriesAState": ({"no-carry"}, "in training, the outputs of a batch differ", "start every call anew"),
    # The global is still set when the second training from the same seed begins.
    "CarriesInAGlobal": ({"same-training"}, "two trainings from one seed differ"),
    "CarriesIntoValidation": ({"resume"}, "after a checkpoint, outputs differ", "get_extra_state"),
    "LooksFarAhead": ({"causality"}, "T=1024", "the model sees the future"),
    "LooksAheadInTraining": ({"causality"}, "T=64 in training", "the model sees the future"),
    "SeesTheLength": ({"causality"}, "the model sees how long the sequence is", "not on the number of steps"),
    "ChangesItsInput": ({"deterministic"}, "it changes its input in place", "x = x.clone()"),
    "ReturnsTheSameMemory": ({"deterministic"}, "a later call overwrites the outputs of an earlier one"),
    "DependsOnTheGradientMode": ({"deterministic"}, "outputs under torch.no_grad() differ", "validations keep none"),
    "MakesParameters": ({"made-once"}, "makes recurrence.gain anew", "the optimiser has the ones of the start"),
    "ReadsOneNumber": ({"reads-input"}, "do not depend on number 2, 3 of the 3", "read the whole"),
    "DividesByZero": ({"long-sequence"}, "NaN or infinite for a batch of zeros alone", "add an epsilon"),
    "GrowsATable": ({"resume"}, "does not take the checkpoint", "size mismatch for", "persistent=False"),
    "CountsCalls": ({"resume"}, "after a checkpoint, outputs differ", "get_extra_state"),
    "Hoards": ({"no-hoard"}, "more tensors", "keep no tensors of a call"),
    "DependsOnTheProcess": ({"new-process"}, "outputs differ there", "no clock, no environment variable"),
}
"""The checks that each model fails, and words of the line that says why."""

LENGTHY = {
    "batch-independence",
    "batch-statistics",
    "causality",
    "gradient-arrives",
    "long-sequence",
    "finite-gradients",
    "long-gradient",
    "linear-cost",
    "resume",
    "new-process",
    "speed",
}
"""The slowest checks. They run only for the models that are to fail them."""


def model_called(name: str) -> type:
    found = (getattr(models, name, None) for models in (broken_models, subtly_broken_models, unusual_models))
    return next(filter(None, found))


def report_of(name: str, *lengthy: str) -> Report:
    checks = tuple(check for check in CHECKS if check.name not in LENGTHY - set(lengthy))
    few = None if name in ("WantsSixteens", "Explodes") else 8  # Explodes is wilder with few units
    return Report(name, tuple(run_checks(ModelUnderTest(model_called(name), {}, hidden_size=few), checks)))


@pytest.fixture(autouse=True)
def _settings_of_torch():
    subtly_broken_models.SEEN.clear()
    yield
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("name", CAUGHT)
def test_a_broken_model_fails_only_its_own_check_and_the_line_says_why(name: str) -> None:
    checks, *words = CAUGHT[name]
    report = report_of(name, *checks)
    assert {finding.name for finding in report.refusals} == checks, report.text
    assert not report.passed
    line = report.refusals[0].line
    assert line.startswith("FAIL  ")
    assert all(word in line for word in words), line
    assert "\n" not in line
    assert report.text.endswith(report.verdict)
    assert f"a run would refuse it: {', '.join(finding.name for finding in report.refusals)}" in report.verdict


def test_every_hard_check_fails_some_broken_model() -> None:
    caught = set().union(*(checks for checks, *_ in CAUGHT.values()))
    of_files = {"own-code"}  # these models are classes; test_own_code.py tests files
    assert caught == {check.name for check in CHECKS if check.severity == "hard"} - of_files


def test_a_full_report_refuses_a_broken_model_for_the_same_check_alone() -> None:
    report = check_model(broken_models.LeaksTheFuture)
    assert {finding.name for finding in report.refusals} == {"causality"}, report.text


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
        ("TakesLengths", {"carried-state": "no state exposed"}),
        ("TakesAContext", {"carried-state": "takes nothing that it returned as its context"}),
        ("ForgetsNowAndThen", {}),
        ("HoldsALambda", {}),
        ("IsOrthogonal", {}),
        ("IsSpectral", {}),
        ("CompilesItsStep", {}),
        ("IsAReservoir", {"learning": "no parameter that is trained", "gradcheck": "no number that is trained"}),
        ("HasExtraState", {"train-is-eval": "stochastic"}),
        ("IsComplex", {"carried-state": "no state exposed"}),
        ("CastsToFloat32", {}),
        ("WantsEvenSizes", {"causality": "it returns the last output alone", "carried-state": "no state exposed"}),
        ("SkipsALayerNowAndThen", {"carried-state": "no state exposed"}),
        ("KeepsATable", {"carried-state": "no state exposed"}),
        ("Spikes", {}),
        ("IsChaotic", {}),
    ],
)
def test_an_unusual_model_passes_and_skipped_checks_say_why(name: str, unseen: dict[str, str]) -> None:
    lengthy = {
        "IsChaotic": ["gradient-arrives"],
        "IsAReservoir": ["linear-cost", "resume"],
        "ReturnsTheLast": ["causality"],
        "HasNoMemory": ["gradient-arrives"],
        "KeepsStatistics": ["batch-independence", "causality"],
        "SkipsALayerNowAndThen": ["linear-cost"],
        "WantsEvenSizes": ["causality"],
        "IsSpectral": ["resume"],
        "HasExtraState": ["resume"],
        "KeepsATable": ["resume"],
        "HoldsALambda": ["new-process", "resume"],
    }
    report = report_of(name, *lengthy.get(name, []))
    assert report.passed, report.text
    skips = {f.name: f.verdict.found for f in report.findings if f.verdict.outcome == "skipped"}
    assert "is no RecurrentCell" in skips.pop("scan-is-step")
    assert not [words for words in skips.values() if "the check itself failed" in words]
    assert all(words in skips[check] for check, words in unseen.items()), skips


@pytest.mark.parametrize("name", ["NeedsCuda", "NeedsADriver"])
def test_a_model_that_needs_a_gpu_is_not_judged_on_the_cpu(name: str) -> None:
    report = Report(name, tuple(run_checks(ModelUnderTest(model_called(name), {}, device="cpu"))))
    (finding,) = report.findings
    assert finding.line.startswith("skip  builds")
    assert "it needs CUDA, and this is the CPU" in finding.line
    assert report.passed
    assert not report.judged
    assert report.verdict.startswith(f"{name} was not judged: it needs CUDA")


def test_a_gradient_of_0_passes_if_the_output_does_not_depend_on_the_input() -> None:
    found = {f.name: f.verdict.found for f in report_of("ForgetsNowAndThen", "gradient-arrives").findings}
    assert "the output does not depend on the input" in found["gradient-arrives"]


def test_gradients_of_a_float32_only_model_are_compared_in_float32() -> None:
    report = report_of("CastsToFloat32")
    (warning,) = (finding for finding in report.findings if finding.verdict.outcome == "failed")
    assert (warning.name, warning.severity) == ("float64", "warning")
    found = {finding.name: finding.verdict.found for finding in report.findings}
    assert "in float32" in found["gradcheck"]


def test_a_model_that_refuses_a_hidden_size_is_checked_at_another() -> None:
    found = {finding.name: finding.verdict.found for finding in report_of("WantsSixteens").findings}
    assert found["builds"].startswith("WantsSixteens(3, 64) has")
    assert found["shapes"].endswith("it takes no hidden_size 3, 5, 7, 13")


def test_statistics_of_a_batch_are_a_warning() -> None:
    report = report_of("KeepsStatistics", "batch-independence", "batch-statistics")
    (warning,) = (finding for finding in report.findings if finding.verdict.outcome == "failed")
    assert (warning.name, warning.severity) == ("batch-statistics", "warning")
    assert "it normalises over the batch in training (batch norm)" in warning.line


@pytest.mark.parametrize(
    ("name", "check", "words"),
    [
        ("StartsDead", "nonzero-gradients", "the gradient of V.weight, V.bias is exactly 0"),
        ("SeedsItself", "own-seed", "start from the same"),
        ("MakesFloat32", "float64", "dtype"),
    ],
)
def test_a_failed_warning_does_not_refuse_the_model(name: str, check: str, words: str) -> None:
    report = report_of(name)
    (warning,) = (finding for finding in report.findings if finding.verdict.outcome == "failed")
    assert (warning.name, warning.severity) == (check, "warning")
    assert words in warning.line
    assert warning.line.startswith("warn  ")
    assert report.passed
    assert "1 warning," in report.verdict


class GrowsInSilence(broken_models.Sound):
    """tanh(1.5 W h + 3 V x): for inputs of 0 the state stays 0, and the gradient grows by 1.5 a step."""

    def forward(self, x: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        h, outputs = self.start(x) if state is None else state, []
        for u in torch.nn.functional.linear(x, self.V.weight).unbind(1):
            h = torch.tanh(1.5 * self.W(h) + 3 * u)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h


def test_a_gradient_that_overflows_only_over_the_zeros_of_pixel_mnist_is_a_warning() -> None:
    """Over 272 steps it grows to 1e47, which overflows float32; over 20 steps it grows to 3,000."""
    subject = ModelUnderTest(GrowsInSilence, {}, hidden_size=8)
    found = {check.name: check.function(subject) for check in CHECKS if check.function.__module__ == lengths.__name__}
    assert found["finite-gradients"].outcome == "passed"
    assert found["long-gradient"].outcome == "failed"
    assert "over 272 steps without news" in found["long-gradient"].found
    assert "(inputs: zeros)" in found["long-gradient"].found


def test_the_infinite_gradient_of_a_root_at_0_is_found() -> None:
    class TakesARoot(broken_models.Sound):
        def forward(self, x: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
            return super().forward(x / (1 + x.square().sum(dim=2, keepdim=True).sqrt()), state)

    verdict = lengths.finite_gradients.function(ModelUnderTest(TakesARoot, {}, hidden_size=8))
    assert verdict.outcome == "failed"

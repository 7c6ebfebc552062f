"""Every registered model, and the layers of torch and torchrecurrent, against the contract."""

import importlib.util

import pytest

from asrnn.contract import CHECKS, HARD, ModelUnderTest, check_model, run_checks
from asrnn.registry import list_models
from asrnn.sources.adapters import ADAPTERS

TORCH, TORCHRECURRENT = ADAPTERS

REFUSED = {
    # Its output is a gated mix of the input and the state, so it needs H = I, which no task here has.
    "IntersectionRNN": {"builds"},
    # The state that it takes and returns lacks its delayed states, up to tau steps back.
    "tauGRU": {"carried-state"},
}
"""The layers of torchrecurrent 0.2.5 that a run refuses, and the checks that they fail."""

STACK = {"num_layers": 2, "residual": True, "norm": "layer", "glu": True, "dropout": 0.1}


@pytest.mark.parametrize("name", list_models())
def test_every_registered_model(name: str) -> None:
    report = check_model(name)
    assert report.passed, report.text
    # A built-in cell has a state and a step, so no check may be skipped.
    assert not report.count("skipped"), report.text
    assert [finding.name for finding in report.findings] == [check.name for check in CHECKS]


@pytest.mark.parametrize("layer", TORCH.layers())
def test_the_layers_of_torch(layer: str) -> None:
    report = check_model(f"torch.nn:{layer}", num_layers=2)
    assert report.passed, report.text
    assert [f.name for f in report.findings if f.verdict.outcome == "skipped"] == ["scan-is-step"]


@pytest.mark.parametrize(("name", "hyper"), [("antisymmetric", STACK), ("gru", {**STACK, "norm": "batch"})])
def test_stacks(name: str, hyper: dict) -> None:
    report = check_model(name, **hyper)
    assert report.passed, report.text
    unseen = {f.name for f in report.findings if f.verdict.outcome == "skipped"}
    assert unseen == {"train-is-eval"}


@pytest.mark.peers
@pytest.mark.skipif(importlib.util.find_spec("torchrecurrent") is None, reason="torchrecurrent is not installed")
@pytest.mark.parametrize("layer", TORCHRECURRENT.layers() if TORCHRECURRENT.is_installed() else [])
def test_every_layer_of_torchrecurrent(layer: str) -> None:
    findings = list(run_checks(ModelUnderTest(f"torchrecurrent:{layer}", {}), HARD))
    refused = {finding.name for finding in findings if finding.refuses}
    assert refused == REFUSED.get(layer, set()), "\n".join(finding.line for finding in findings)

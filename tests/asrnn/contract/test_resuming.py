"""Trainings in two processes are compared with a tolerance that allows rounding only."""

from dataclasses import replace

import pytest
import torch
from broken_models import Sound

from asrnn.contract import ModelUnderTest
from asrnn.contract.checks import resuming
from asrnn.contract.checks.resuming import Continued
from asrnn.registry import find_model

EXPECTED = Continued([0.7, 0.6], torch.ones(4, 2), {"W": torch.ones(3)})
ROUNDED_OUTPUTS = EXPECTED.outputs * (1 + 1e-5)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (replace(EXPECTED, outputs=ROUNDED_OUTPUTS), "passed"),
        (replace(EXPECTED, outputs=ROUNDED_OUTPUTS, losses=[0.7, 0.9]), "failed"),
        (replace(EXPECTED, outputs=ROUNDED_OUTPUTS, weights={"W": 2 * torch.ones(3)}), "failed"),
    ],
)
def test_rounding_before_a_checkpoint_does_not_hide_a_difference_after_it(
    found: Continued, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = ModelUnderTest(Sound, {}, hidden_size=8, device="cpu")
    subject.importable = find_model("torch.nn:GRU")
    subject.shortened = 16
    monkeypatch.setattr(resuming, "interrupted", lambda _: (b"", EXPECTED))
    monkeypatch.setattr(resuming, "ask", lambda *_: vars(found))
    assert resuming.new_process.function(subject).outcome == outcome

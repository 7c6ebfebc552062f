"""A state or an output of the wrong shape must fail the model, not the check."""

import pytest
import torch
from broken_models import CountsTwice, Sound
from contract_support import verdict
from torch import Tensor
from unusual_models import EnlargesRoundings


class HasTwoStates(CountsTwice):
    state_names = ("h", "c")

    def step(self, u: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return 0.9 * state[0] + u, 0.5 * state[1] + u


class ScansAnotherRecurrence(HasTwoStates):
    def scan(self, x: Tensor, state=None, *, return_sequence: bool = False):
        outputs, final = super().scan(x, state, return_sequence=return_sequence)
        return 2 * outputs, final[:1]


class NamesTooManyStates(CountsTwice):
    state_names = ("h", "c")

    def scan(self, x: Tensor, state=None, *, return_sequence: bool = False):
        state, outputs = state or self.initial_state(len(x)), []
        for u in self.project(x).unbind(1):
            state = self.step(u, state)
            outputs.append(self.output(state))
        return torch.stack(outputs, dim=1) if return_sequence else outputs[-1], state


class GrowsItsState(Sound):
    def forward(self, x: Tensor, state: list[Tensor] | None = None):
        outputs, h = super().forward(x, state[-1] if state else None)
        return outputs, [*(state or []), h]


@pytest.mark.parametrize(
    ("model", "check", "words"),
    [
        (ScansAnotherRecurrence, "scan-is-step", "scan returns 1 tensors of state, and step 2"),
        (NamesTooManyStates, "scan-is-step", "step returns 1 tensors of state, and state_names has 2 names"),
        (GrowsItsState, "carried-state", "cut after step 1, the state has 2 tensors, and 1 without the cut"),
    ],
)
def test_a_state_with_a_wrong_number_of_tensors_fails(model: type, check: str, words: str) -> None:
    found = verdict(model, check)
    assert found.outcome == "failed"
    assert words in found.found


def test_a_cell_with_two_states_passes() -> None:
    assert verdict(HasTwoStates, "scan-is-step").outcome == "passed"


@pytest.mark.parametrize(
    ("returned", "words"),
    [(lambda outputs: None, "found a NoneType"), (lambda outputs: outputs.transpose(0, 1), "found [5, 2, 8]")],
)
def test_outputs_of_another_shape_only_in_training_fail(returned, words: str) -> None:
    class ReturnsOtherwiseInTraining(Sound):
        def forward(self, x: Tensor) -> Tensor:
            outputs = super().forward(x)[0]
            return returned(outputs) if self.training and x.shape[1] != 3 else outputs

    found = verdict(ReturnsOtherwiseInTraining, "same-training")
    assert found.outcome == "failed"
    assert words.replace("[5, 2, 8]", "[20, 8, 8]") in found.found


def test_a_model_that_amplifies_rounding_is_judged_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict(EnlargesRoundings, "carried-state").outcome == "passed"
    monkeypatch.setattr("asrnn.contract.checks.time.computes_in_float64", lambda subject: False)
    assert verdict(EnlargesRoundings, "carried-state").outcome == "failed"

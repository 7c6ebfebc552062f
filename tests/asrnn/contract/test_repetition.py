"""Two backward passes must give equal gradients: to the bit on the CPU, to rounding on a GPU."""

import pytest
import torch
from broken_models import Sound
from contract_support import verdict

from asrnn.contract.checks.repetition import other_gradient


@pytest.mark.parametrize(
    ("change", "on_cpu", "on_gpu"),
    [(0.0, None, None), (1e-6, "bias", None), (0.01, "bias", "bias"), (float("nan"), "bias", "bias")],
)
def test_gradients_on_a_gpu_may_differ_by_the_order_of_its_sums(
    change: float, on_cpu: str | None, on_gpu: str | None
) -> None:
    """The second gradient is 0 but for roundings, and the difference is measured by the first."""
    first = {"weight": torch.tensor([3.0, -1.0]), "bias": torch.tensor([1e-9]), "unused": None}
    second = {**first, "bias": first["bias"] + change}
    assert other_gradient(first, second, "cpu") == on_cpu
    assert other_gradient(first, second, "cuda:0") == on_gpu
    assert other_gradient(first, {**first, "bias": None}, "cuda") == "bias"


def test_a_constructor_that_seeds_the_generator_is_advised_not_to() -> None:
    class SeedsItself(Sound):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            torch.manual_seed(0)
            super().__init__(input_size, hidden_size)

    found = verdict(SeedsItself, "own-seed")
    assert found.outcome == "failed"
    assert "start from the same numbers with two seeds" in found.found
    assert "do not call torch.manual_seed in the constructor" in found.advice

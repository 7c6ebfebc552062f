"""The model under test must be built as a job builds it."""

import pytest
import torch
from broken_models import Sound

from asrnn.contract import ModelUnderTest, model_under_test


def test_weights_are_drawn_on_the_cpu_and_then_moved_to_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn_on, moved_to = [], []

    class Draws(Sound):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)
            drawn_on.append(torch.get_default_device().type)

    assemble = model_under_test.assemble

    def assemble_here(*args, device: str, **keywords):
        moved_to.append(device)
        return assemble(*args, **keywords)

    monkeypatch.setattr(model_under_test, "assemble", assemble_here)
    of_a_gpu = ModelUnderTest(Draws, {}, hidden_size=8, device="cpu")
    of_a_gpu.device = "cuda"
    one, other = (of_a_gpu.build(seed=5) for _ in range(2))
    assert set(drawn_on) == {"cpu"}
    assert set(moved_to) == {"cuda"}
    assert torch.equal(one.recurrence.W.weight, other.recurrence.W.weight)
    assert not one.training

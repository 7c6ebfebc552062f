"""A training step changes every weight and reads the last state, and its memory is measured."""

import os

import pytest
import torch
from torch import nn

from asrnn.memory import peak_mib
from asrnn_bench.speed.contenders import Contender, choose_contenders
from asrnn_bench.speed.sizes import Size
from asrnn_bench.speed.training_step import LastState, TrainingStep, make_batch

SIZE = Size(4, 6, 3, 5)


@pytest.mark.parametrize("one", [one for one in choose_contenders([]) if one.kind != "jax"], ids=lambda one: one.name)
def test_a_step_changes_every_weight(one: Contender) -> None:
    step = TrainingStep(one, SIZE, "cpu")
    before = [parameter.detach().clone() for parameter in step.model.parameters()]
    for _ in range(2):
        step(*make_batch(SIZE, "cpu"))
    after = list(step.model.parameters())
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_the_last_state_is_the_output_at_the_last_step(layer: type[nn.RNN]) -> None:
    model = LastState(layer(3, 5, batch_first=True), 5)
    x, _ = make_batch(SIZE, "cpu")
    output, _ = model.layer(x)
    torch.testing.assert_close(model(x), model.readout(output[:, -1]))


def test_the_back_end_has_its_name_in_records() -> None:
    found = {one.name: TrainingStep(one, SIZE, "cpu").scan_backend for one in choose_contenders(["nn.GRU"])}
    assert found == {"nn.GRU": "torch", "nn.LSTM": "torch"}
    for asked in ("lem@loop", "rnn@torch", "gru@fused", "lstm@torch", "lstm@loop"):
        step = TrainingStep(choose_contenders([asked])[0], SIZE, "cpu")
        step(*make_batch(SIZE, "cpu"))
        assert step.scan_backend == asked.partition("@")[2]


def test_a_batch_is_the_same_each_time_and_of_the_right_shape() -> None:
    (x, y), (again, _) = make_batch(SIZE, "cpu"), make_batch(SIZE, "cpu")
    assert x.shape == (4, 6, 3)
    assert y.shape == (4,)
    assert torch.equal(x, again)


def test_the_peak_includes_memory_that_was_freed_again() -> None:
    def work() -> None:
        torch.ones(64, 2**18)  # 64 MiB
        torch.ones(32, 2**18)

    found = peak_mib(work, "cpu")
    assert found is not None
    assert 60 < found < 90


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux does not reset its mark here")
def test_an_earlier_peak_does_not_count() -> None:
    torch.ones(200, 2**18)
    found = peak_mib(lambda: None, "cpu")
    assert found is not None
    assert found < 20

"""The roofline, compared with counts by hand, and its projections, compared with the cells."""

import pytest
import torch
from torch import nn

import asrnn
from asrnn_bench.speed.roofline import INPUT_PROJECTIONS, product_operations, training_operations
from asrnn_bench.speed.sizes import SIZES, Size


def test_the_operations_equal_a_count_by_hand() -> None:
    # 2 samples, 3 steps, 5 inputs, 7 units. The state has 3 products of 7 x 7 multiplications, each with an addition,
    # per step and sample: forward, for the gradient of the state, and of the weight. The inputs have 2 products of 5 x
    # 7, and twice as many with a gate.
    recurrent = 3 * (2 * 3 * 7 * 7) * 2
    inputs = 2 * (2 * 3 * 5 * 7) * 2
    size = Size(2, 3, 5, 7)
    assert training_operations("antisymmetric", size) == recurrent + inputs
    assert training_operations("antisymmetric-gated", size) == recurrent + 2 * inputs
    assert training_operations("nn.LSTM", size) is None
    assert training_operations("a-cell-of-my-own", size) is None
    assert product_operations(4096) == 4096 * 4096 * 4096 * 2


def test_the_roofline_of_the_first_size() -> None:
    """It is 58 ms at 170 GFLOP/s, which two cores of an earlier machine reached."""
    operations = training_operations("antisymmetric", SIZES[0])
    assert operations == 9_865_003_008 + 51_380_224
    assert operations / 170e9 * 1e3 == pytest.approx(58, abs=1)


@pytest.mark.parametrize("name", [name for name in asrnn.list_models() if name in INPUT_PROJECTIONS])
def test_each_cell_with_a_roofline_has_one_square_matrix_and_its_projections(name: str) -> None:
    cell = asrnn.build_cell(name, 2, 7)
    assert cell.project(torch.zeros(3, 2)).shape == (3, INPUT_PROJECTIONS[name] * 7)
    matrices = [
        p for p in cell.parameters() if p.numel() in (7 * 7, 7 * 6 // 2)
    ]  # a free matrix, or an antisymmetric one
    assert len(matrices) == 1


def test_gated_peers_with_several_matrices_have_no_roofline() -> None:
    for name, layer in {"nn.RNN": nn.RNN, "nn.GRU": nn.GRU, "nn.LSTM": nn.LSTM}.items():
        rows = layer(3, 5).weight_hh_l0.shape[0]
        assert (rows == 5) == (name in INPUT_PROJECTIONS)

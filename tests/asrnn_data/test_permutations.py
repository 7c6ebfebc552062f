import numpy as np
import pytest
import torch

from asrnn.errors import UnknownNameError
from asrnn_data.permutations import make_permutation

NAMES = ("urnn-92916", "cornn-12008", "lem-5544", "bit-reversal")


@pytest.mark.parametrize("name", NAMES)
def test_every_pixel_is_read_once(name):
    assert sorted(make_permutation(name)) == list(range(784))


def test_the_urnn_order_is_that_of_its_authors():
    # the other of numpy's two legacy routes: shuffling a range in place
    expected = np.arange(784)
    np.random.RandomState(92916).shuffle(expected)
    assert np.array_equal(make_permutation("urnn-92916"), expected)


@pytest.mark.parametrize(("name", "seed"), [("cornn-12008", 12008), ("lem-5544", 5544)])
def test_the_torch_orders_are_those_of_the_authors_scripts(name, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # as the scripts do, with the global generator
        expected = torch.randperm(784)
    assert np.array_equal(make_permutation(name), expected.numpy())


def test_bit_reversal_reads_each_index_backwards():
    expected = [int(f"{index:010b}"[::-1], 2) for index in range(1024)]
    assert make_permutation("bit-reversal").tolist() == [index for index in expected if index < 784]


def test_making_a_permutation_leaves_the_global_generators_alone():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the global generator is what is watched
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for name in NAMES:
        make_permutation(name)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_permutation_refuses_an_asset_of_another_kind():
    with pytest.raises(UnknownNameError, match="unknown permutation 'unit'"):
        make_permutation("unit")


@pytest.mark.parametrize("name", NAMES)
def test_the_default_device_changes_no_permutation(name):
    expected = make_permutation(name)
    with torch.device("meta"):
        assert np.array_equal(make_permutation(name), expected)

"""The sequences of MNIST must equal the pixels of the embedded images, indexed directly."""

import numpy as np
import pytest
import torch

from asrnn_data import NoisePaddedMNIST, PermutedMNIST, PixelMNIST
from asrnn_data.noise import fill_noise
from asrnn_data.permutations import make_permutation
from asrnn_data.sources import load_images
from asrnn_data.splits import split_images

EMBEDDED = "mnist-5k-v1"


def samples(kind, part="test", count=20, **kwargs):
    module = kind(images=EMBEDDED, **kwargs)
    module.setup()
    return module.samples(part, 0, count)[0]


@pytest.fixture(scope="module")
def pixels():
    """The first 20 test digits in [0, 1], `[20, 28, 28]`."""
    chosen = split_images(PixelMNIST(images=EMBEDDED).image_set)["test"].indices[:20]
    # float32 division is correctly rounded, so that equality is asked for below
    return load_images(EMBEDDED)["train"].images[chosen, 0].numpy().astype(np.float32) / np.float32(255)


def test_pixels_are_read_row_by_row_from_the_top_left(pixels):
    found = samples(PixelMNIST)
    assert found.shape == (20, 784, 1)
    for step in range(784):
        assert np.array_equal(found[:, step, 0], pixels[:, step // 28, step % 28])


@pytest.mark.parametrize("permutation", PermutedMNIST.task.variants["permutation"])
def test_the_permuted_sequence_has_the_asset_s_order(permutation):
    order = make_permutation(permutation)
    plain, found = samples(PixelMNIST), samples(PermutedMNIST, permutation=permutation)
    for step in (0, 1, 2, 400, 783):
        assert torch.equal(found[:, step], plain[:, order[step]])
    assert torch.equal(found, plain[:, order])


@pytest.mark.parametrize("noise", NoisePaddedMNIST.task.variants["noise"])
def test_rows_come_first_and_noise_follows(pixels, noise):
    found = samples(NoisePaddedMNIST, noise=noise)
    assert found.shape == (20, 1000, 28)
    assert np.array_equal(found[:, :28], pixels)
    rows = torch.from_numpy(split_images(NoisePaddedMNIST(images=EMBEDDED).image_set)["test"].indices[:20])
    # the small set's test digits are training images of the published one
    assert torch.equal(found[:, 28:], fill_noise(torch.empty(20, 972, 28), noise, "sample/train", rows))


def test_the_noise_of_a_training_sample_depends_on_its_row_in_the_batch():
    module = NoisePaddedMNIST(images=EMBEDDED, batch_size=16, seed=4)
    module.setup()
    found = module.train_batch(300)[0][:, 28:]
    expected = fill_noise(torch.empty(16, 972, 28), "per-sample-v1", "batch/4/300", torch.arange(16))
    assert torch.equal(found, expected)


@pytest.mark.real_data
def test_the_noise_of_a_test_sample_depends_on_its_index_in_the_published_set(data_dir):
    module = NoisePaddedMNIST(data_dir)
    module.setup()
    found = module.samples("test", 9_990, 10_000)[0][:, 28:]
    expected = fill_noise(torch.empty(10, 972, 28), "per-sample-v1", "sample/test", torch.arange(9_990, 10_000))
    assert torch.equal(found, expected)

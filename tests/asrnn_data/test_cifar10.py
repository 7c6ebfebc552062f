"""The sequences of CIFAR-10 must equal the published arrays, indexed directly."""

import numpy as np
import pytest
import torch

from asrnn_data import NoisePaddedCIFAR10, PixelCIFAR10
from asrnn_data.noise import fill_noise

pytestmark = pytest.mark.real_data

MEAN = np.array([0.49139968, 0.48215841, 0.44653091])  # of CIFAR-10's training images, as the field quotes them
DEVIATION = np.array([0.24703223, 0.24348513, 0.26158784])
TOLERANCE = 1e-6  # three float32 roundings of values below 2.8, one of them before a division by 0.24


@pytest.fixture(scope="module")
def standardised(cifar10):
    """The first 20 test photographs `[20, height, width, channel]` in float64."""
    raw = cifar10["test"].images[:20].numpy().astype(np.float64).transpose(0, 2, 3, 1)
    return (raw / 255 - MEAN) / DEVIATION


def samples(data_dir, kind):
    module = kind(data_dir)
    module.setup()
    assert sum(len(y) for _, y in SizesOnly(module)) == 10_000
    return module.samples("test", 0, 20)[0]


class SizesOnly:
    """The test batches of a module without the work of making their sequences."""

    def __init__(self, module):
        self.module = module

    def __iter__(self):
        make, self.module.make_sequences = self.module.make_sequences, lambda images, stream, rows: images
        yield from self.module.test_dataloader()
        self.module.make_sequences = make


def test_each_step_is_a_pixel_of_three_channels(data_dir, standardised):
    found = samples(data_dir, PixelCIFAR10)
    assert found.shape == (20, 1024, 3)
    for step in range(1024):
        assert np.abs(found[:, step].numpy() - standardised[:, step // 32, step % 32]).max() < TOLERANCE


def test_each_step_is_a_row_of_reds_greens_and_blues_and_then_noise(data_dir, standardised):
    found = samples(data_dir, NoisePaddedCIFAR10)
    assert found.shape == (20, 1000, 96)
    for channel in range(3):
        block = found[:, :32, 32 * channel : 32 * (channel + 1)].numpy()
        assert np.abs(block - standardised[..., channel]).max() < TOLERANCE
    expected = fill_noise(torch.empty(20, 968, 96), "per-sample-v1", "sample/test", torch.arange(20))
    assert torch.equal(found[:, 32:], expected)


def test_the_small_set_has_500_test_samples(data_dir):
    module = PixelCIFAR10(data_dir, images="cifar10-5k-v1")
    module.setup()
    labels = torch.cat([y for _, y in module.test_dataloader()])
    assert torch.bincount(labels).tolist() == [50] * 10

import numpy as np
import pytest
import torch

from asrnn.errors import UnknownNameError
from asrnn_data.noise import fill_noise
from asrnn_data.transforms import (
    SCALINGS,
    pad_with_noise,
    pixels_to_sequence,
    rows_to_sequence,
    scale_images,
)


def images(channels, height, width, batch=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, channels, height, width), dtype=torch.uint8, generator=generator)


def test_pixels_come_row_by_row_with_their_channels_together():
    x = images(3, 4, 5)
    found = pixels_to_sequence(x)
    assert found.shape == (3, 20, 3)
    for b, c, h, w in np.ndindex(*x.shape):
        assert found[b, h * 5 + w, c] == x[b, c, h, w]


def test_rows_hold_one_channel_after_the_other():
    x = images(3, 4, 5)
    found = rows_to_sequence(x)
    assert found.shape == (3, 4, 15)
    for b, c, h, w in np.ndindex(*x.shape):
        assert found[b, h, c * 5 + w] == x[b, c, h, w]


@pytest.mark.parametrize(("name", "channels"), [("unit", 1), ("cifar10-channels-v1", 3)])
def test_scaling_is_its_formula(name, channels):
    x, constants = images(channels, 4, 5), SCALINGS[name]
    mean, deviation = (np.array(v).reshape(-1, 1, 1) for v in (constants.mean, constants.deviation))
    expected = (x.numpy().astype(np.float64) / 255 - mean) / deviation
    found = scale_images(x, name)
    assert found.dtype == torch.float32
    # three float32 roundings of values below 2.8, one of them before a division by 0.24
    assert np.abs(found.numpy() - expected).max() < 1e-6


def test_unit_scaling_spans_zero_to_one():
    x = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    assert scale_images(x, "unit").flatten().tolist() == [0.0, 1.0]


def test_padding_appends_noise_to_the_sequence():
    x, rows = torch.rand(4, 6, 5), torch.tensor([7, 1, 3, 2])
    found = pad_with_noise(x, 20, "per-sample-v1", "sample/test", rows)
    assert found.shape == (4, 20, 5)
    assert torch.equal(found[:, :6], x)
    assert torch.equal(found[:, 6:], fill_noise(torch.empty(4, 14, 5), "per-sample-v1", "sample/test", rows))


@pytest.mark.parametrize("size", [1, 5, 96])
def test_a_padded_batch_has_the_memory_alignment_of_torch(size):
    for batch in range(1, 9):
        found = pad_with_noise(torch.rand(batch, 6, size), 20, "per-sample-v1", "sample/test", torch.arange(batch))
        assert found.data_ptr() % 64 == 0


def test_a_batch_that_is_still_in_use_is_not_overwritten():
    x, rows = torch.rand(4, 6, 5), torch.arange(4)
    kept = pad_with_noise(x, 20, "per-sample-v1", "batch/0/0", rows)
    before = kept.clone()
    pad_with_noise(x + 1, 20, "per-sample-v1", "batch/0/1", rows)
    assert torch.equal(kept, before)


def test_an_unknown_scaling_is_refused():
    with pytest.raises(UnknownNameError, match="unknown scaling 'units'; did you mean 'unit'"):
        scale_images(images(1, 2, 2), "units")


@pytest.mark.real_data
def test_channel_constants_are_those_of_the_training_images(cifar10):
    constants, values = SCALINGS["cifar10-channels-v1"], np.arange(256) / 255
    for channel in range(3):
        counts = np.bincount(cifar10["train"].images[:, channel].flatten().numpy(), minlength=256)
        mean = np.average(values, weights=counts)
        deviation = np.sqrt(np.average((values - mean) ** 2, weights=counts))
        # the constants were rounded to eight decimals
        assert abs(mean - constants.mean[channel]) <= 0.5e-8
        assert abs(deviation - constants.deviation[channel]) <= 0.5e-8


def test_the_default_dtype_changes_no_scaled_image():
    images = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    expected = scale_images(images, "cifar10-channels-v1")
    torch.set_default_dtype(torch.float64)
    try:
        found = scale_images(images, "cifar10-channels-v1")
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)

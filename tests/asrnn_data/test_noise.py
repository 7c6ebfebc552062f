"""Values and distribution of the noise. It is deterministic, so no statistical bound can fail by chance."""

import hashlib
import math
import statistics

import numpy as np
import pytest
import torch

from asrnn.compiling import compiler
from asrnn.errors import UnknownNameError
from asrnn_data import noise as noise_module
from asrnn_data.noise import fill_noise, noise_sample

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


@pytest.fixture(autouse=True, params=["compiled", "torch"])
def _maker(request, monkeypatch):
    """Have all of this said of the noise that C makes, and again of torch's."""
    if request.param == "torch":
        monkeypatch.setattr(noise_module, "_compiled", lambda: None)
    elif not compiler()[0]:
        pytest.skip("there is no C compiler")
    else:
        assert noise_module._compiled() is not None


def mix(z: int) -> int:
    """SplitMix64's finaliser on unsigned Python integers, after the paper's listing."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def expected_value(stream: str, row: int, position: int) -> float:
    """One value of the noise, from its definition, with the standard library's normal quantile."""
    key = int.from_bytes(hashlib.sha256(f"asrnn-bench/noise/{stream}".encode()).digest()[:8], "little")
    row_key = mix((key + (row + 1) * GOLDEN) & MASK)
    word = mix((row_key + (position // 4 + 1) * GOLDEN) & MASK)
    integer = (word >> (16 * (position % 4))) & 0xFFFF
    return round(statistics.NormalDist().inv_cdf((integer + 0.5) / 65536) * 65536) / 65536


def noise(rows, steps=972, size=28, asset="per-sample-v1", stream="batch/0/0"):
    rows = torch.as_tensor(rows)
    return fill_noise(torch.full((len(rows), steps, size), torch.nan), asset, stream, rows)


def test_splitmix64_gives_its_published_first_outputs():
    # the generator's outputs for seed 1234567, as Rosetta Code publishes them for its task on SplitMix64
    outputs = [mix((1234567 + (k + 1) * GOLDEN) & MASK) for k in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("row", [0, 1, 127, 59_999])
def test_values_are_those_of_the_definition(row):
    found = noise([row], stream="batch/3/41").reshape(-1)
    for position in (0, 1, 2, 3, 4, 5, 1_000, 27_215):
        # the quantiles of two libraries differ in their last bits, which the rounding to 2**-16 takes away
        assert found[position].item() == expected_value("per-sample-v1/batch/3/41", row, position)


def test_all_values_of_a_long_sample_are_those_of_the_definition():
    found = noise([7], 968, 96, stream="sample/test").reshape(-1)
    # on both sides of where the CPU begins its second block of words, and the last one
    for position in (49_151, 49_152, 49_157, 92_927):
        assert found[position].item() == expected_value("per-sample-v1/sample/test", 7, position)


def test_moments_are_those_of_the_standard_normal():
    values = noise(range(40)).double()  # about a million
    n = values.numel()
    # five standard errors of each moment; the variance of z**k is 1, 2, 15 and 96 for k = 1 to 4
    assert abs(values.mean()) < 5 / math.sqrt(n)
    assert abs(values.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs(values.pow(3).mean()) < 5 * math.sqrt(15 / n)
    assert abs(values.pow(4).mean() - 3) < 5 * math.sqrt(96 / n)


def test_the_distribution_is_normal_by_kolmogorov_and_smirnov():
    stats = pytest.importorskip("scipy.stats")
    values = noise(range(8)).double().reshape(-1).numpy()
    assert stats.kstest(values, "norm").pvalue > 0.01


def test_all_65536_quantiles_are_equally_frequent():
    values, counts = np.unique(noise(range(128)).numpy(), return_counts=True)
    expected = 128 * 972 * 28 / 65536  # 53 a value
    # rounding to 2**-16 merges quantiles where they lie closer than that; none is ever missing otherwise
    assert len(values) > 45_000
    tails = counts[np.abs(values) > 2]
    # the tails are not merged: chi-squared within five standard deviations of its mean
    chi2 = ((tails - expected) ** 2 / expected).sum()
    assert abs(chi2 - len(tails)) < 5 * math.sqrt(2 * len(tails))


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.double() * b.double()).mean().item()


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 28, 112])
def test_neighbours_are_independent(lag):
    values = noise(range(16)).reshape(16, -1)
    n = values.numel()
    # five standard errors of a correlation of independent values; squares show dependence that signs hide
    assert abs(correlation(values[:, lag:], values[:, :-lag])) < 5 / math.sqrt(n)
    squares = values.square() - 1
    assert abs(correlation(squares[:, lag:], squares[:, :-lag])) < 5 * 2 / math.sqrt(n)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"stream": "batch/0/0"}, {"stream": "batch/0/1"}),
        ({"stream": "batch/0/0"}, {"stream": "batch/1/0"}),
        ({"stream": "sample/train"}, {"stream": "sample/test"}),
        ({"rows": range(16)}, {"rows": range(16, 32)}),
        ({"rows": range(16)}, {"rows": range(1, 17)}),
    ],
)
def test_steps_seeds_sources_and_samples_are_independent(first, second):
    a, b = (noise(**{"rows": range(16), **kwargs}) for kwargs in (first, second))
    assert abs(correlation(a, b)) < 5 / math.sqrt(a.numel())


def test_a_sample_s_noise_does_not_depend_on_the_batch_it_is_in():
    rows = torch.randperm(60_000, generator=torch.Generator().manual_seed(0))[:50]
    whole = noise(rows, stream="sample/test")
    assert torch.equal(whole, torch.cat([noise(part, stream="sample/test") for part in rows.split(7)]))
    assert torch.equal(whole.flip(0), noise(rows.flip(0), stream="sample/test"))


@pytest.mark.parametrize(("steps", "size"), [(1, 1), (1, 3), (5, 7), (968, 96), (40_000, 4)])
def test_every_value_of_every_shape_is_written(steps, size):
    found = noise([5, 6, 9], steps, size)
    assert not found.isnan().any()
    longer = noise([5, 6, 9], steps + 3, size)  # position alone counts, not the length
    assert torch.equal(found, longer[:, :steps])


def test_only_the_given_time_steps_are_filled():
    padded = torch.full((9, 1000, 28), torch.nan)
    fill_noise(padded[:, 28:], "per-sample-v1", "batch/0/0", torch.arange(9))
    assert padded[:, :28].isnan().all()
    assert torch.equal(padded[:, 28:], noise(range(9)))


def test_samples_that_are_not_contiguous_are_filled():
    out = torch.full((3, 28, 9), torch.nan).transpose(1, 2)
    assert torch.equal(fill_noise(out, "per-sample-v1", "batch/0/0", torch.arange(3)), noise(range(3), 9, 28))


@pytest.mark.parametrize("size", [1, 3, 28, 30])
def test_time_major_memory_has_the_same_noise(size):
    padded = torch.full((13, 5, size), torch.nan).transpose(0, 1)  # [T, B, I] in memory
    fill_noise(padded[:, 2:], "per-sample-v1", "batch/0/0", torch.arange(5))
    assert padded[:, :2].isnan().all()
    assert torch.equal(padded[:, 2:], noise(range(5), 11, size))


@pytest.mark.parametrize("_maker", ["compiled"], indirect=True)
def test_compiled_noise_that_differs_in_one_bit_is_not_used(monkeypatch):
    def off_by_one_bit(out, keys):
        noise_module._compiled()(out, keys)
        out[-1, -1] = torch.nextafter(out[-1, -1], torch.tensor(torch.inf))
        return out

    monkeypatch.setattr(noise_module, "_fill_with_torch", off_by_one_bit)
    with pytest.warns(RuntimeWarning, match="compiled noise is not used"):
        assert noise_module._compiled.__wrapped__() is None


def test_the_number_of_threads_changes_nothing():
    before, threads = noise(range(64)), torch.get_num_threads()
    try:
        torch.set_num_threads(3 if threads == 1 else 1)
        assert torch.equal(before, noise(range(64)))
    finally:
        torch.set_num_threads(threads)


def test_global_generators_are_neither_read_nor_advanced():
    torch.manual_seed(1)
    state, first = torch.get_rng_state(), noise(range(4))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, noise(range(4)))


def test_shared_noise_is_one_tensor_for_all_samples_and_streams():
    found = noise([3, 999, 5], asset="shared-v1", stream="batch/0/0")
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert torch.equal(found, noise([8, 9, 10], asset="shared-v1", stream="sample/test"))
    assert found[0].reshape(-1)[6].item() == expected_value("shared-v1", 0, 6)


def test_the_digest_covers_samples_of_the_named_streams():
    found = noise_sample("per-sample-v1")
    assert found.shape == (6, 1000)
    assert found[3, 17].item() == expected_value("per-sample-v1/batch/7/49999", 9_999, 17)


def test_noise_refuses_an_asset_of_another_kind():
    with pytest.raises(UnknownNameError, match="unknown noise 'unit'"):
        noise([0], asset="unit")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_makes_the_same_numbers():
    rows = torch.arange(33)
    out = torch.empty(33, 968, 96, device="cuda")
    found = fill_noise(out, "per-sample-v1", "batch/0/0", rows.cuda())
    assert torch.equal(found.cpu(), noise(rows, 968, 96))

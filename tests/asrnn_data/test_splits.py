import hashlib

import numpy as np
import pytest

from asrnn.errors import UnknownNameError
from asrnn_data.image_sets import IMAGE_SETS
from asrnn_data.sources import load_images
from asrnn_data.splits import split_images, split_indices, subset_indices

SOURCES = {  # images in each source
    "mnist": {"train": 60_000, "test": 10_000},
    "cifar10": {"train": 50_000, "test": 10_000},
    "mnist-5k-v1": {"train": 5_000},
    "mnist-5k-v2": {"train": 5_000},
    "cifar10-5k-v1": {"train": 5_000},
    "cifar10-5k-v2": {"train": 5_000},
}


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_the_parts_are_disjoint_and_complete(name):
    parts = split_images(IMAGE_SETS[name])
    for source, size in SOURCES[name].items():
        used = np.concatenate([part.indices for part in parts.values() if part.source == source])
        assert np.array_equal(np.sort(used), np.arange(size))
    assert sum(len(part.indices) for part in parts.values()) == sum(SOURCES[name].values())


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_the_parts_have_the_sizes_that_the_image_set_states(name):
    images, parts = IMAGE_SETS[name], split_images(IMAGE_SETS[name])
    sizes = {part: len(parts[part].indices) for part in ("train", "val", "test")}
    assert sizes == {"train": images.num_train, "val": images.num_val, "test": images.num_test}


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_published_test_images_never_train(name):
    parts = split_images(IMAGE_SETS[name])
    assert parts["train"].source == parts["val"].source == "train"
    assert parts["test"].source == "test"


@pytest.mark.parametrize(("version", "sizes"), [("v1", (400, 50, 50)), ("v2", (350, 50, 100))])
def test_the_balanced_split_holds_every_class_equally(version, sizes):
    name = f"mnist-5k-{version}"
    labels = load_images(name)["train"].labels.numpy()
    for part, each in zip(("train", "val", "test"), sizes, strict=True):
        chosen = split_images(IMAGE_SETS[name])[part].indices
        assert np.bincount(labels[chosen]).tolist() == [each] * 10


@pytest.mark.parametrize(("version", "each"), [("v1", 50), ("v2", 100)])
def test_each_class_of_the_balanced_split_is_drawn_on_its_own(version, each):
    test = split_images(IMAGE_SETS[f"mnist-5k-{version}"])["test"].indices.reshape(10, each) % 500
    assert len({tuple(row) for row in test}) == 10


@pytest.mark.parametrize("name", ["mnist-5k", "cifar10-5k"])
def test_version_2_keeps_the_validation_and_test_samples_of_version_1(name):
    before, after = (split_images(IMAGE_SETS[f"{name}-{version}"]) for version in ("v1", "v2"))
    assert np.array_equal(before["val"].indices, after["val"].indices)
    assert set(before["test"].indices) < set(after["test"].indices)
    assert IMAGE_SETS[f"{name}-v1"].digest() == IMAGE_SETS[f"{name}-v2"].digest()


def test_the_subset_takes_500_of_each_class_and_no_label_in_order_of_rank():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 700))
    chosen = subset_indices(labels)
    assert np.array_equal(labels[chosen], np.repeat(np.arange(10), 500))
    assert len(set(chosen)) == 5_000
    assert all((np.diff(block) > 0).all() for block in chosen.reshape(10, 500))
    assert not np.array_equal(chosen[:500], np.flatnonzero(labels == 0)[:500])


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cifar10-5k-v1", "cifar10-5k-v2"])
def test_the_subset_of_cifar10_is_the_pinned_one(cifar10, name):
    chosen = subset_indices(cifar10["train"].labels.numpy())
    found = hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
    assert found == IMAGE_SETS[name].subset


def test_split_refuses_an_asset_of_another_kind():
    with pytest.raises(UnknownNameError, match="unknown split 'unit'"):
        split_indices("unit")

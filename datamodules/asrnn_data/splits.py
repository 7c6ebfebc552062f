"""Split image sets into training, validation and test, by generators of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from asrnn_data.image_sets import ImageSet
from asrnn_data.protocol import find_asset

NUM_CLASSES: Final = 10
IMAGES_A_CLASS: Final = 500  # in every 5k set, which are sorted by class

# The seeds are arbitrary but fixed. The paper appeared in 2019.
_HOLDOUT_SEED = 2019
_BALANCED_SEED = 20190
_SUBSET_SEED = 20191

# Places in the permutation of each class. Validation and test images of v1 keep their part in v2, so settings that were
# chosen on the validation images of v1 are tested on none of them.
_BALANCED: Final[Mapping[str, Mapping[str, tuple[slice, ...]]]] = {
    "balanced-5k-v1": {"train": (slice(0, 400),), "val": (slice(400, 450),), "test": (slice(450, 500),)},
    "balanced-5k-v2": {
        "train": (slice(0, 350),),
        "val": (slice(400, 450),),
        "test": (slice(350, 400), slice(450, 500)),
    },
}


@dataclass(frozen=True)
class Part:
    """One part of a split: ascending `indices` `[n]` (int64) into the source ``"train"`` or ``"test"``."""

    source: str
    indices: NDArray[np.int64]


def split_images(images: ImageSet) -> Mapping[str, Part]:
    """Return the parts ``"train"``, ``"val"`` and ``"test"`` of an image set, disjoint and complete."""
    if images.split in _BALANCED:
        return {name: Part("train", indices) for name, indices in _balanced(images.split).items()}
    train, val = _holdout(images.num_train + images.num_val)
    test = np.arange(images.num_test, dtype=np.int64)
    return {"train": Part("train", train), "val": Part("train", val), "test": Part("test", test)}


def split_indices(name: str) -> NDArray[np.int64]:
    """Return all indices of a split asset as one array, for its digest.

    For ``holdout-10-v1`` these are the training and validation indices of 60,000 images, then of 50,000. For balanced
    splits they are the training, validation and test indices.

    Raises:
        UnknownNameError: there is no such asset.
    """
    if find_asset(name, kind="split").name in _BALANCED:
        return np.concatenate(list(_balanced(name).values()))
    return np.concatenate([*_holdout(60_000), *_holdout(50_000)])


def subset_indices(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the 5,000 indices of the CIFAR-10 subset: 500 of each class, sorted by class, then by index.

    Args:
        labels: `[N]`, the class of every image of the source, in the order of its files.
    """
    generator = np.random.RandomState(_SUBSET_SEED)
    kept = []
    for label in range(NUM_CLASSES):
        members = np.flatnonzero(labels == label)
        kept.append(np.sort(members[generator.permutation(len(members))[:IMAGES_A_CLASS]]))
    return np.concatenate(kept).astype(np.int64)


def _holdout(num_images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.random.RandomState(_HOLDOUT_SEED).permutation(num_images).astype(np.int64)
    num_val = num_images // 10
    return np.sort(order[num_val:]), np.sort(order[:num_val])


def _balanced(name: str) -> dict[str, NDArray[np.int64]]:
    generator = np.random.RandomState(_BALANCED_SEED)
    orders = np.stack(
        [label * IMAGES_A_CLASS + generator.permutation(IMAGES_A_CLASS) for label in range(NUM_CLASSES)]
    ).astype(np.int64)
    return {part: np.sort(orders[:, np.r_[places]].ravel()) for part, places in _BALANCED[name].items()}

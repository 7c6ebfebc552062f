"""Provide long-range sequence tasks as LightningDataModules, under named, versioned and hashed protocols.

Importing this package imports neither torch nor Lightning: a planner reads `TASKS` in a few milliseconds. A data module
is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asrnn_data.image_sets import check_images, images_present, resolve_data_dir
from asrnn_data.protocol import ASSETS, Asset
from asrnn_data.tasks import TASKS, Task, find_task

if TYPE_CHECKING:
    from asrnn_data.base import SequenceDataModule
    from asrnn_data.cifar10 import NoisePaddedCIFAR10, PixelCIFAR10
    from asrnn_data.mnist import NoisePaddedMNIST, PermutedMNIST, PixelMNIST

__all__ = [
    "ASSETS",
    "TASKS",
    "Asset",
    "NoisePaddedCIFAR10",
    "NoisePaddedMNIST",
    "PermutedMNIST",
    "PixelCIFAR10",
    "PixelMNIST",
    "SequenceDataModule",
    "Task",
    "check_images",
    "find_task",
    "images_present",
    "resolve_data_dir",
]

_LAZY = {
    "SequenceDataModule": "asrnn_data.base",
    "PixelCIFAR10": "asrnn_data.cifar10",
    "NoisePaddedCIFAR10": "asrnn_data.cifar10",
    "PixelMNIST": "asrnn_data.mnist",
    "PermutedMNIST": "asrnn_data.mnist",
    "NoisePaddedMNIST": "asrnn_data.mnist",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__

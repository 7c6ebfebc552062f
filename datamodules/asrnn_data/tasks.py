"""Define the tasks as plain data, which a planner reads without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from asrnn.errors import UnknownNameError
from asrnn_data.image_sets import IMAGE_SETS, ImageSet
from asrnn_data.protocol import ASSETS

_MNIST = ("mnist", "mnist-5k-v1", "mnist-5k-v2")
_CIFAR10 = ("cifar10", "cifar10-5k-v1", "cifar10-5k-v2")
_PERMUTATION = {"permutation": ("urnn-92916", "cornn-12008", "lem-5544", "bit-reversal")}
_NOISE = {"noise": ("per-sample-v1", "shared-v1")}


@dataclass(frozen=True)
class Task:
    """A classification of sequences `[B, T, I]` under a pinned protocol.

    Args:
        name: kebab-case, as in suites and tables.
        summary: one line for people.
        datamodule: import string of the data module, ``"package.module:Class"``.
        sequence_length: the number of steps T.
        input_size: the input size I.
        image_sets: the names of its image sets; the first is the default.
        variants: the assets that each setting (``"permutation"``, ``"noise"``) may have; the first is the default.
        num_classes: the number of classes C.
        metric: the metric that ranks models.
        version: the version of the sequences; raise it if the code of the data module changes them.
    """

    name: str
    summary: str
    datamodule: str
    sequence_length: int
    input_size: int
    image_sets: tuple[str, ...]
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    num_classes: int = 10
    metric: str = "accuracy"
    version: int = 1

    def image_set(self, name: str | None = None) -> ImageSet:
        """Return the image set of that name, or the default one.

        Raises:
            UnknownNameError: the task is not defined on such an image set.
        """
        if name is None:
            return IMAGE_SETS[self.image_sets[0]]
        if name not in self.image_sets:
            raise UnknownNameError(f"image set of task {self.name}", name, self.image_sets)
        return IMAGE_SETS[name]

    def choices(self, /, **variants: str) -> dict[str, str]:
        """Return the asset of every setting: the given one, else the default.

        Raises:
            UnknownNameError: no such setting, or no such asset for it.
        """
        for setting, asset in variants.items():
            if setting not in self.variants:
                raise UnknownNameError(f"setting of task {self.name}", setting, self.variants)
            if asset not in self.variants[setting]:
                raise UnknownNameError(f"{setting} of task {self.name}", asset, self.variants[setting])
        return {setting: variants.get(setting, known[0]) for setting, known in self.variants.items()}

    def assets(self, images: str | None = None, **variants: str) -> dict[str, str]:
        """Return the name and the digest of every protocol asset of a configuration.

        Raises:
            UnknownNameError: the image set, a setting or an asset is not one of the task's.
        """
        chosen = self.image_set(images)
        names = (chosen.name, chosen.split, chosen.scaling, *self.choices(**variants).values())
        return {name: ASSETS[name].digest for name in names}

    def num_test(self, images: str | None = None) -> int:
        """Return the number of test samples; each is counted exactly once.

        Raises:
            UnknownNameError: the task is not defined on such an image set.
        """
        return self.image_set(images).num_test


_TASKS = (
    Task(
        "pixel-mnist",
        "classify a digit read pixel by pixel, row by row from the top left",
        "asrnn_data.mnist:PixelMNIST",
        sequence_length=784,
        input_size=1,
        image_sets=_MNIST,
    ),
    Task(
        "permuted-mnist",
        "classify a digit read pixel by pixel in one fixed random order",
        "asrnn_data.mnist:PermutedMNIST",
        sequence_length=784,
        input_size=1,
        image_sets=_MNIST,
        variants=MappingProxyType(_PERMUTATION),
    ),
    Task(
        "pixel-cifar10",
        "classify a photograph read pixel by pixel, red, green and blue at each step",
        "asrnn_data.cifar10:PixelCIFAR10",
        sequence_length=1024,
        input_size=3,
        image_sets=_CIFAR10,
    ),
    Task(
        "noise-padded-mnist",
        "classify a digit read row by row in 28 steps, then remember it through 972 steps of noise",
        "asrnn_data.mnist:NoisePaddedMNIST",
        sequence_length=1000,
        input_size=28,
        image_sets=_MNIST,
        variants=MappingProxyType(_NOISE),
    ),
    Task(
        "noise-padded-cifar10",
        "classify a photograph read row by row in 32 steps, then remember it through 968 steps of noise",
        "asrnn_data.cifar10:NoisePaddedCIFAR10",
        sequence_length=1000,
        input_size=96,
        image_sets=_CIFAR10,
        variants=MappingProxyType(_NOISE),
    ),
)
TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _TASKS})


def find_task(name: str) -> Task:
    """Return the task of that name.

    >>> find_task("permuted-mnist").sequence_length
    784

    Raises:
        UnknownNameError: there is no such task; the message offers the nearest name.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise UnknownNameError("task", name, TASKS) from None

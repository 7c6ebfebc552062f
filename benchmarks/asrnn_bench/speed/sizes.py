"""Define the sizes that are timed: those of the tasks, and series of sizes that show how time grows."""

import re
from dataclasses import dataclass, replace

from asrnn.errors import UsageError

_SIZE = re.compile(r"([1-9][0-9]{0,8})x([1-9][0-9]{0,8})x([1-9][0-9]{0,8})x([1-9][0-9]{0,8})", re.ASCII)


@dataclass(frozen=True)
class Size:
    """A batch of B samples with T time steps of I inputs, and a model with H hidden units."""

    batch_size: int
    num_steps: int
    input_size: int
    hidden_size: int

    def __str__(self) -> str:
        return f"{self.batch_size}x{self.num_steps}x{self.input_size}x{self.hidden_size}"

    @property
    def label(self) -> str:
        """The size as text for people."""
        return f"B={self.batch_size}, T={self.num_steps:,}, I={self.input_size}, H={self.hidden_size}"


SIZES = (Size(128, 784, 1, 128), Size(128, 1024, 3, 256), Size(128, 1000, 96, 256))
"""The sizes of pixel MNIST, pixel CIFAR-10 and noise-padded CIFAR-10 in the paper's protocol."""

_BASE = Size(32, 1024, 1, 128)
_SERIES = {
    "num_steps": (1024, 2048, 4096, 8192, 16384),
    "batch_size": (8, 16, 32, 64, 128, 256),
    "hidden_size": (32, 64, 128, 256, 512),
}

GROWTH = {axis: tuple(replace(_BASE, **{axis: value}) for value in values) for axis, values in _SERIES.items()}
"""The sizes along each axis of growth, with the other axes fixed."""

AXIS_LETTERS = {"num_steps": "T", "batch_size": "B", "hidden_size": "H"}
AXIS_NAMES = {"num_steps": "time steps", "batch_size": "samples", "hidden_size": "hidden units"}


def parse_sizes(text: str) -> tuple[Size, ...]:
    """Read comma-separated sizes ``BxTxIxH``, without duplicates.

    Raises:
        UsageError: a size is not four positive whole numbers.
    """
    sizes: dict[Size, None] = {}
    for word in (word.strip() for word in text.split(",")):
        found = _SIZE.fullmatch(word)
        if found is None:
            raise UsageError(
                f"--sizes takes batch, steps, inputs and hidden units as in {SIZES[0]}, "
                f"several with commas between them; found '{word}'"
            )
        sizes[Size(*map(int, found.groups()))] = None
    return tuple(sizes)

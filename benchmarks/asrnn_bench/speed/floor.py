"""Compute the floor of a training step: the time that a machine needs for the model's own products and bytes."""

from collections.abc import Callable
from dataclasses import dataclass

from asrnn_bench.speed.sizes import Size

COPIED_FLOATS = 2**26
"""The floats that are copied to measure the memory bandwidth: 256 MiB, more than a cache holds."""

_FLOAT = 4  # bytes
_LMU_ORDER = 256
_S4D_STATE = 64


@dataclass(frozen=True)
class Work:
    """The least work of one time step of one sample, forward and backward.

    Args:
        multiplications: in matrix products, each with one addition: a state or an input times a weight, a gradient
            times that weight, and the product for the gradient of a learned weight.
        kept: the numbers that the step keeps for its backward pass. They are written once and read once.
    """

    multiplications: int
    kept: int


Count = Callable[[int, int], Work]
"""Return the work of a model for its input size I and hidden size H."""


def _dense(products: int, inputs: int, kept: int) -> Count:
    """Return the count for products of a state with H x H, of the input with H x I, and kept numbers per unit."""

    def count(input_size: int, units: int) -> Work:
        return Work(3 * products * units**2 + 2 * inputs * input_size * units, kept * units)

    return count


def _kronecker(input_size: int, units: int) -> Work:
    """Count the complex products with each Kronecker factor: 4 real ones for each number and each row of a factor."""
    return Work(3 * 4 * units * _sum_of_prime_factors(units) + 2 * 2 * input_size * units, 2 * units)


def _sum_of_prime_factors(number: int) -> int:
    divisor, total = 2, 0 if number > 1 else 1
    while number > 1:
        if number % divisor:
            divisor += 1
        else:
            total, number = total + divisor, number // divisor
    return total


def _legendre(input_size: int, units: int) -> Work:
    """Count the products with the constant d x d memory, and with the learned H x d, H x H and three vectors."""
    learned = units * _LMU_ORDER + units**2 + units + _LMU_ORDER
    return Work(2 * _LMU_ORDER**2 + 3 * learned + 2 * (units + 1) * input_size, units + _LMU_ORDER)


def _filters(input_size: int, units: int) -> Work:
    """Count, for each feature, the product of a block of steps with N numbers per step that gives the next state."""
    return Work(3 * units * _S4D_STATE + 2 * input_size * units, units)


WORK: dict[str, Count] = {
    "antisymmetric": _dense(1, 1, 1),
    "antisymmetric-gated": _dense(1, 2, 2),
    "chrono-lstm": _dense(4, 4, 4),
    "cornn": _dense(2, 1, 1),
    "exprnn": _dense(1, 1, 1),
    "fastrnn": _dense(1, 1, 1),
    "fc-urnn": _dense(4, 2, 2),
    "feedback": _dense(1, 1, 1),
    "gru": _dense(3, 3, 4),
    "indrnn": _dense(0, 1, 1),
    "kru": _kronecker,
    "lem": _dense(4, 4, 4),
    "lipschitz": _dense(2, 1, 2),
    "lmu": _legendre,
    "lru": _dense(0, 2, 2),
    "lstm": _dense(4, 4, 4),
    "min-gru": _dense(0, 2, 2),
    "min-lstm": _dense(0, 3, 4),
    "rnn": _dense(1, 1, 1),
    "s4d": _filters,
    "scornn": _dense(1, 1, 1),
    "soft-orthogonal": _dense(1, 1, 1),
    "unicornn": _dense(0, 1, 1),
    "unstructured-gated": _dense(1, 2, 2),
    "urnn": _dense(4, 2, 2),
}
"""The work of each model with its default hyper-parameters.

A complex product counts as four real ones. The two input matrices of the LRU count as one, because nothing comes
between them.
"""


def floor_seconds(model: str, size: Size, operations: float, bandwidth: float) -> float | None:
    """Return the floor of one training step: the time of its products plus the time of its bytes.

    The bytes are those of the kept numbers, written once and read once, and of the input, read in both passes.

    Args:
        model: the contender's name, with or without a back end.
        size: B, T, I and H.
        operations: the operations per second of the machine's matrix products.
        bandwidth: the bytes per second that a copy reads and writes.

    Returns:
        the seconds, or ``None`` for a model whose work is not known.
    """
    count = WORK.get(model.partition("@")[0])
    if count is None:
        return None
    work, steps = count(size.input_size, size.hidden_size), size.batch_size * size.num_steps
    moved = 2 * _FLOAT * (work.kept + size.input_size)
    return steps * (2 * work.multiplications / operations + moved / bandwidth)


def copied_bytes() -> int:
    """Return the bytes that the copy of ``COPIED_FLOATS`` reads and writes."""
    return 2 * _FLOAT * COPIED_FLOATS

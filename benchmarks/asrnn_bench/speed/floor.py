"""The floor of a training step: the time that a model's own products and bytes need on a machine."""

from collections.abc import Callable
from dataclasses import dataclass

from asrnn_bench.speed.sizes import Size

COPIED_FLOATS = 2**26
"""How many floats are copied to see how fast a machine moves them: 256 MiB, more than a cache holds."""

_FLOAT = 4  # bytes
_LMU_ORDER = 256
_S4D_STATE = 64


@dataclass(frozen=True)
class Work:
    """What one time step of one sample needs at least, forward and back.

    Args:
        multiplications: with as many additions, in products with matrices: a state or an input times a weight, a
            gradient times that weight, and the two for the gradient of a weight that is learnt.
        kept: numbers that the step hands to its backward, which are written once and read once.
    """

    multiplications: int
    kept: int


Count = Callable[[int, int], Work]
"""Counts the work of a model by its input size I and its hidden size H."""


def _dense(products: int, inputs: int, kept: int) -> Count:
    """Count so many products of a state with a matrix H x H, and of the input with one H x I, and numbers a unit."""

    def count(input_size: int, units: int) -> Work:
        return Work(3 * products * units**2 + 2 * inputs * input_size * units, kept * units)

    return count


def _kronecker(input_size: int, units: int) -> Work:
    """Count complex products, of four real ones each, factor by factor: a number meets a row of each factor."""
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
    """Count the products with the memory, d x d, which is not learnt; H x d, H x H and three vectors, which are."""
    learnt = units * _LMU_ORDER + units**2 + units + _LMU_ORDER
    return Work(2 * _LMU_ORDER**2 + 3 * learnt + 2 * (units + 1) * input_size, units + _LMU_ORDER)


def _filters(input_size: int, units: int) -> Work:
    """Count, for each feature, a block of steps times a matrix with N numbers a step, for the state after the block."""
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
"""The work of each model, with its hyper-parameters as they are by default.

A model whose units are complex has four real products for each of its own. The LRU's input goes through two matrices
that are one, as nothing comes between them.
"""


def floor_seconds(model: str, size: Size, operations: float, bandwidth: float) -> float | None:
    """Return the floor of one training step: its products at their rate and then its bytes at theirs.

    The bytes are what is kept, written and read once each, and the input, read once on either way.

    Args:
        model: the contender's name, with or without a back end.
        size: B, T, I and H.
        operations: a second, of the machine's products.
        bandwidth: bytes a second, that it reads and writes where it copies.

    Returns:
        seconds, or ``None`` for a model whose work is not known.
    """
    count = WORK.get(model.partition("@")[0])
    if count is None:
        return None
    work, steps = count(size.input_size, size.hidden_size), size.batch_size * size.num_steps
    moved = 2 * _FLOAT * (work.kept + size.input_size)
    return steps * (2 * work.multiplications / operations + moved / bandwidth)


def copied_bytes() -> int:
    """Count the bytes that are read and written where so many floats are copied."""
    return 2 * _FLOAT * COPIED_FLOATS

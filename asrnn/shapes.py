"""Define the axes of public tensors, and check the shapes and precisions of inputs and states.

======  =======
letter  axis
======  =======
``B``   batch
``T``   time
``I``   input
``H``   hidden
``C``   classes
======  =======

A sequence is ``[B, T, I]``, a state ``[B, H]``, a sequence of states ``[B, T, H]``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import TYPE_CHECKING

from asrnn.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def positive_size(name: str, size: object) -> int:
    """Return the size of an axis as a Python int; numpy integers are allowed.

    Raises:
        ModelError: it is not a positive integer.
    """
    if isinstance(size, bool) or not isinstance(size, Integral) or int(size) < 1:
        raise ModelError(f"{name} must be a positive integer, not {size!r}")
    return int(size)


def check_sequence(x: "Tensor", input_size: int) -> None:
    """Require a sequence ``[B, T, I]`` of at least one step.

    Raises:
        ModelError: ``x`` has another shape.
    """
    if type(x).__name__ == "PackedSequence":
        raise ModelError(
            "expected a tensor [B, T, I], found a PackedSequence: unpack it by torch.nn.utils.rnn.pad_packed_sequence "
            "with batch_first=True, and read each sequence at its own last step"
        )
    if not hasattr(x, "requires_grad") or getattr(x, "is_nested", False):
        kind = "nested tensor" if hasattr(x, "requires_grad") else type(x).__name__
        raise ModelError(f"expected a tensor [B, T, {input_size}], found a {kind}: make it one by torch.as_tensor")
    if x.ndim != 3 or x.shape[2] != input_size or x.shape[1] < 1:
        alone = x.ndim == 2 and x.shape[1] == input_size
        hint = ": a single sequence is a batch of one, x.unsqueeze(0)" if alone else ""
        raise ModelError(f"expected a sequence [B, T, {input_size}] with T >= 1, found {list(x.shape)}{hint}")


def check_state(state: object, like: "tuple[Tensor, ...]", names: tuple[str, ...], giver: str) -> None:
    """Require that a state has as many tensors as another one, of the same shapes.

    Args:
        state: the state to check.
        like: a state with the right tensors.
        names: the names of the tensors, for the message.
        giver: the source of the state, for the message.

    Raises:
        ModelError: it is not such a tuple.
    """
    if not isinstance(state, tuple):
        found = f"a {type(state).__name__}"
    elif [getattr(part, "shape", None) for part in state] != [part.shape for part in like]:
        found = f"({', '.join(str(list(getattr(part, 'shape', ()))) for part in state)})"
    else:
        return
    layered = isinstance(state, tuple) and [getattr(part, "shape", ())[1:] for part in state] == [p.shape for p in like]
    found += ": the state has no axis of layers here, take part[0] of each" if layered else ""
    expected = ", ".join(f"{name} {list(part.shape)}" for name, part in zip(names, like, strict=False))
    raise ModelError(f"{giver} must be a tuple of tensors ({expected}), found {found}")


def check_precision(state: "tuple[Tensor, ...]", like: "tuple[Tensor, ...]") -> None:
    """Require that a state has the precision of another one, if both are floating point.

    Raises:
        ModelError: it has another precision.
    """
    for part, other in zip(state, like, strict=True):
        if part.dtype != other.dtype and part.is_floating_point() and other.is_floating_point():
            raise ModelError(
                f"the state is {_word(part)} and the cell {_word(other)}: cast one to the other's precision"
            )


@contextmanager
def explain_precision_errors(x: "Tensor", like: "Tensor", cell: str) -> Iterator[None]:
    """Turn torch's error about an input of another precision, or on another device, into one line that names both.

    Args:
        x: the input.
        like: a tensor of the cell.
        cell: the name of the cell, for the message.

    Raises:
        ModelError: there was an error, and the input has another precision or is on another device.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        if x.device != like.device and "device" in str(error):
            raise ModelError(
                f"the input is on {x.device} and {cell} on {like.device}: move one to the other"
            ) from error
        of_dtypes = any(words in str(error) for words in ("dtype", "scalar type", "same type", "type torch."))
        if x.dtype != like.dtype and of_dtypes and not x.is_complex() and not like.is_complex():
            raise ModelError(
                f"the input is {_word(x)} and {cell} {_word(like)}: cast one, by x.to({like.dtype})"
            ) from error
        raise


def _word(tensor: "Tensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")

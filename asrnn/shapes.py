"""The axes of every public tensor, and the checks that cells and models share.

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

from numbers import Integral
from typing import TYPE_CHECKING

from asrnn.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def positive_size(name: str, size: object) -> int:
    """Return the size of an axis as a Python int; numpy's integers are sizes too.

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
    if x.ndim != 3 or x.shape[2] != input_size or x.shape[1] < 1:
        raise ModelError(f"expected a sequence [B, T, {input_size}] with T >= 1, found {list(x.shape)}")


def check_state(state: object, like: "tuple[Tensor, ...]", names: tuple[str, ...], giver: str) -> None:
    """Require a state with the tensors and shapes of another one.

    Args:
        state: what was given.
        like: a state as it should be.
        names: what the state's tensors are called, for the message.
        giver: where the state comes from, as the message calls it.

    Raises:
        ModelError: it is not a tuple of as many tensors of the same shapes.
    """
    if not isinstance(state, tuple):
        found = f"a {type(state).__name__}"
    elif [getattr(part, "shape", None) for part in state] != [part.shape for part in like]:
        found = f"({', '.join(str(list(getattr(part, 'shape', ()))) for part in state)})"
    else:
        return
    expected = ", ".join(f"{name} {list(part.shape)}" for name, part in zip(names, like, strict=False))
    raise ModelError(f"{giver} must be a tuple of tensors ({expected}), found {found}")

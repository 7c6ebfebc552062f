"""What a fused scan reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Operands:
    """What a scan reads. Inside of it, rows of units are W wide, H rounded up to what its runner wants.

    Args:
        x: the input, ``[B, T, I]``.
        weight_ih: V, ``[G H, I]``.
        bias: b, ``[G H]``.
        state: the state before the first step, ``[B, H]`` each.
        weights: the recurrent weights.
    """

    x: Tensor
    weight_ih: Tensor
    bias: Tensor
    state: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    def tensors(self) -> tuple[Tensor, ...]:
        """Return them in one row, as autograd takes them; :meth:`of` is the way back."""
        return (self.x, self.weight_ih, self.bias, *self.state, *self.weights)

    @classmethod
    def of(cls, tensors: Sequence[Tensor], num_states: int) -> "Operands":
        """Return the operands that stand in one row."""
        x, weight_ih, bias, *rest = tensors
        return cls(x, weight_ih, bias, tuple(rest[:num_states]), tuple(rest[num_states:]))

"""What a fused scan reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from asrnn.ops.recurrence import Recurrence


@dataclass(frozen=True, slots=True)
class Operands:
    """What a scan reads. Inside of it, rows of units are W wide, H rounded up to what its runner wants.

    Args:
        x: the input, ``[B, T, I]``.
        weight_ih: V, ``[G H, I]``.
        bias: b, ``[G H]``.
        state: the state before the first step, ``[B, H]`` each.
        weights: the recurrent weights, ``[H, H]`` each.
        vectors: what each unit has of its own, ``[H]`` each.
    """

    x: Tensor
    weight_ih: Tensor
    bias: Tensor
    state: tuple[Tensor, ...]
    weights: tuple[Tensor, ...] = ()
    vectors: tuple[Tensor, ...] = ()

    def tensors(self) -> tuple[Tensor, ...]:
        """Return them in one row, as autograd takes them; :meth:`of` is the way back."""
        return (self.x, self.weight_ih, self.bias, *self.state, *self.weights, *self.vectors)

    @classmethod
    def of(cls, tensors: Sequence[Tensor], recurrence: Recurrence) -> "Operands":
        """Return the operands of a recurrence that stand in one row."""
        x, weight_ih, bias, *rest = tensors
        states = recurrence.num_states
        weights = states + recurrence.num_weights()
        return cls(x, weight_ih, bias, tuple(rest[:states]), tuple(rest[states:weights]), tuple(rest[weights:]))

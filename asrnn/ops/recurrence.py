"""Define what a fused scan knows of a recurrence: its products, one step, and the tensors that a scan reads."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

from torch import Tensor
from torch.nn import functional as F

Tensors = Sequence[Tensor]


class Product(NamedTuple):
    """One recurrent product M h of a step.

    Args:
        weight: the index of M among the recurrent weights.
        state: the index of h among the parts of the state.
        slot: the slot of u that holds the gradient of M h after :meth:`Recurrence.backward`. The number of slots
            stands for ``Step.product_grad``.
        after: h is the new state, which the first half of the step has computed, not the state before the step.
    """

    weight: int = 0
    state: int = 0
    slot: int = 0
    after: bool = False


@dataclass(slots=True)
class Step:
    """The tensors of one time step, which the step changes in place.

    Args:
        u: the slots, ``[B, S H]``. Before a forward step the first slots hold V x_t + b.
        before: the state before the step, ``[B, H]`` each.
        after: the state after the step, ``[B, H]`` each.
        weights: the recurrent weights, ``[H, H]`` each.
        vectors: the vectors, ``[H]`` each.
        scratch: ``num_scratch`` work buffers with arbitrary content, ``[B, H]`` each.
        grads: in a backward step, the gradients of the state, ``[B, H]`` each.
        product_grad: in a backward step, receives the gradient of the products without a slot, ``[B, H]``.
        vector_grads: in a backward step, accumulate the gradients of the vectors, ``[B, H]`` each.
    """

    u: Tensor
    before: Tensors
    after: Tensors
    weights: Tensors
    vectors: Tensors
    scratch: Tensors
    grads: Tensors = ()
    product_grad: Tensor | None = None
    vector_grads: Tensors = ()


class Recurrence(ABC):
    """A recurrence state_t = f(state_{t-1}, u_t; weights, vectors), as two in-place step functions.

    The scan computes u_t = V x_t + b, ``[B, G H]``, for many steps at once. :meth:`forward` replaces u_t by the
    numbers that the backward pass needs. :meth:`backward` replaces those by the gradient of u_t. One buffer of S slots,
    ``[B, H]`` each, therefore serves all three. The scan computes the gradients of the recurrent weights from the slots
    and the states, as :attr:`products` describes them.

    A new recurrence sets the class attributes and implements both methods for one time step, with torch's in-place
    operations and ``out=``. A step must not allocate memory.

    Args:
        scalars: the constants of the equation, such as epsilon. In C they are ``scalars[0]``, ``scalars[1]``, ...
    """

    num_states: ClassVar[int] = 1
    """The number of parts of the state, ``[B, H]`` each."""

    num_outputs: ClassVar[int] = 1
    """The number of parts of the state, counted from the first, that the readout sees."""

    num_inputs: ClassVar[int] = 1
    """G, the number of input projections of H units each. They fill the first slots of u."""

    num_slots: ClassVar[int] = 0
    """S, the number of slots of u. It is at least ``num_inputs``."""

    products: ClassVar[tuple[Product, ...]] = (Product(),)
    """The recurrent products of a step."""

    num_vectors: ClassVar[int] = 0
    """The number of vectors ``[H]``: parameters with one number per unit, beside the bias."""

    num_scratch: ClassVar[int] = 1
    """The number of work buffers ``[B, H]`` that a step needs."""

    compiled: ClassVar[Path | None] = None
    """The C file with the same steps, for :mod:`asrnn.ops.compiled`. ``scan.c`` describes its functions."""

    defines: ClassVar[tuple[str, ...]] = ()
    """The macros to compile the C file with, where several recurrences share one file."""

    first_scalars: ClassVar[tuple[float, ...]] = ()
    """The constants with which a runner is tested in its first run."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.num_slots = max(cls.num_slots, cls.num_inputs)

    def __init__(self, *scalars: float) -> None:
        self.scalars = scalars

    @classmethod
    def has_product_grad(cls) -> bool:
        """Return whether the gradient of a product has no slot and needs a buffer ``[B, H]`` for each step."""
        return any(product.slot == cls.num_slots for product in cls.products)

    @classmethod
    def num_weights(cls) -> int:
        """Return the number of recurrent weights ``[H, H]``."""
        return 1 + max((product.weight for product in cls.products), default=-1)

    @abstractmethod
    def forward(self, step: Step) -> None:
        """Compute ``step.after`` from ``step.before``, and leave in ``step.u`` what :meth:`backward` needs."""

    @abstractmethod
    def backward(self, step: Step) -> None:
        """Compute the gradients of one step.

        - ``step.u``: replace what :meth:`forward` left by the gradient of V x_t + b, and of each product with a slot.
        - ``step.grads``: replace the gradients of the state after the step by those of the state before it.
        - ``step.product_grad``: store the gradient of the products without a slot.
        - ``step.vector_grads``: add the gradients of the vectors.
        """


@dataclass(frozen=True, slots=True)
class Operands:
    """The tensors that a scan reads, or their gradients in the same shapes.

    Inside a scan each row of H units has W numbers: H rounded up to the multiple that the runner needs.

    Args:
        x: the input, ``[B, T, I]``; a gradient that nobody needs is ``[B, 0, I]``.
        weight_ih: V, ``[G H, I]``.
        bias: b, ``[G H]``.
        state: the state before the first step, ``[B, H]`` each.
        weights: the recurrent weights, ``[H, H]`` each.
        vectors: the vectors, ``[H]`` each.
    """

    x: Tensor
    weight_ih: Tensor
    bias: Tensor
    state: tuple[Tensor, ...]
    weights: tuple[Tensor, ...] = ()
    vectors: tuple[Tensor, ...] = ()

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all tensors in one tuple, as autograd takes them; :meth:`of` is the inverse."""
        return (self.x, self.weight_ih, self.bias, *self.state, *self.weights, *self.vectors)

    @classmethod
    def of(cls, tensors: Tensors, recurrence: Recurrence) -> "Operands":
        """Return the operands of a recurrence from the tuple of :meth:`tensors`."""
        x, weight_ih, bias, *rest = tensors
        states = recurrence.num_states
        weights = states + recurrence.num_weights()
        return cls(x, weight_ih, bias, tuple(rest[:states]), tuple(rest[states:weights]), tuple(rest[weights:]))

    def tile(self, samples: slice) -> "Operands":
        """Return the operands of some samples of the batch."""
        return replace(self, x=self.x[samples], state=tuple(part[samples] for part in self.state))

    def padded(self, width: int) -> "Operands":
        """Pad all rows of units with zeros from H to W. The zeros stay zeros throughout a scan."""
        size = self.state[0].shape[1]
        pad = width - size
        if not pad:
            return self
        inputs = len(self.bias) // size
        return Operands(
            self.x,
            F.pad(self.weight_ih.view(inputs, size, -1), (0, 0, 0, pad)).flatten(0, 1),
            F.pad(self.bias.view(inputs, size), (0, pad)).flatten(),
            tuple(F.pad(part, (0, pad)) for part in self.state),
            tuple(F.pad(weight, (0, pad, 0, pad)) for weight in self.weights),
            tuple(F.pad(vector, (0, pad)) for vector in self.vectors),
        )

    def cropped(self, size: int) -> "Operands":
        """Remove the padding, from W to H; the inverse of :meth:`padded`."""
        width = self.state[0].shape[1]
        if width == size:
            return self
        inputs = len(self.bias) // width
        return Operands(
            self.x,
            self.weight_ih.reshape(inputs, width, -1)[:, :size].flatten(0, 1),
            self.bias.view(inputs, width)[:, :size].flatten(),
            tuple(part[:, :size] for part in self.state),
            tuple(weight[:size, :size] for weight in self.weights),
            tuple(vector[:size] for vector in self.vectors),
        )

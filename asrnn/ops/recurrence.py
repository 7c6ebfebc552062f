"""What a fused scan has to know of a recurrence."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from torch import Tensor

Tensors = Sequence[Tensor]


class Product(NamedTuple):
    """One recurrent product M h of a step.

    Args:
        weight: which of the recurrent weights M is.
        state: which of the states h is.
        slot: which slot of u holds the gradient towards M h after :meth:`Recurrence.backward`; the number of slots
            where ``delta`` does.
        after: whether h is the state after the step, which the step's first half has made, and not that before it.
    """

    weight: int = 0
    state: int = 0
    slot: int = 0
    after: bool = False


@dataclass(slots=True)
class Step:
    """What one time step works on, all of it in place.

    Args:
        u: the slots, ``[B, S H]``; V x_t + b in the first of them to begin with.
        before: the state before the step, ``[B, H]`` each.
        after: the state after the step.
        weights: the recurrent weights, ``[H, H]`` each.
        vectors: the vectors, ``[H]`` each.
        scratch: ``num_scratch`` buffers ``[B, H]``, of any content.
        grads: on the way back, the gradients towards the state.
        delta: on the way back, where the gradient towards products without a slot goes, ``[B, H]``.
        vector_grads: on the way back, the gradients towards the vectors, ``[B, H]`` each.
    """

    u: Tensor
    before: Tensors
    after: Tensors
    weights: Tensors
    vectors: Tensors
    scratch: Tensors
    grads: Tensors = ()
    delta: Tensor | None = None
    vector_grads: Tensors = ()


class Recurrence(ABC):
    """A recurrence state_t = f(state_{t-1}, u_t; weights, vectors): two in-place step functions, and what they keep.

    u_t = V x_t + b, ``[B, G H]``, is computed for many steps at once before the loop. :meth:`forward` puts in
    its place what the backward needs of the step, and :meth:`backward` in place of that the gradient towards
    u_t, so that one buffer of slots, ``[B, H]`` each, serves all three. The gradients of the recurrent weights
    follow from the slots and the states, by :attr:`products`.

    A new recurrence says what it has, and writes the two methods for one time step, with torch's in-place
    operations and ``out=``: no step may allocate.

    Args:
        scalars: the constants of the equation, such as epsilon; in ``compiled`` code, ``scalars[0]``, ...
    """

    num_states: ClassVar[int] = 1
    """How many tensors ``[B, H]`` the state has."""

    num_outputs: ClassVar[int] = 1
    """How many of them, the first ones, a readout sees."""

    num_inputs: ClassVar[int] = 1
    """G, the input projections of H units each that stand in the first slots of u."""

    num_slots: ClassVar[int] = 0
    """How many slots u has; as many as inputs, unless a step keeps more."""

    products: ClassVar[tuple[Product, ...]] = (Product(),)
    """The recurrent products, with a weight ``[H, H]`` each."""

    num_vectors: ClassVar[int] = 0
    """How many numbers a unit has of its own, beside its bias: vectors ``[H]``."""

    num_scratch: ClassVar[int] = 1
    """How many buffers ``[B, H]`` a step needs to work in."""

    compiled: ClassVar[Path | None] = None
    """The same in C, for :mod:`asrnn.ops.compiled`; ``scan.c`` says what it holds."""

    defines: ClassVar[tuple[str, ...]] = ()
    """Names that the C is compiled with, where one text serves several recurrences."""

    first_scalars: ClassVar[tuple[float, ...]] = ()
    """Constants for a first run, in which a runner is tried out."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.num_slots = max(cls.num_slots, cls.num_inputs)

    def __init__(self, *scalars: float) -> None:
        self.scalars = scalars

    @classmethod
    def has_delta(cls) -> bool:
        """Return whether the gradient towards a recurrent product is in no slot, and has a buffer ``[B, H]`` a step."""
        return any(product.slot == cls.num_slots for product in cls.products)

    @classmethod
    def num_weights(cls) -> int:
        """Return how many recurrent weights there are."""
        return 1 + max((product.weight for product in cls.products), default=-1)

    @abstractmethod
    def forward(self, at: Step) -> None:
        """Take one step: make the state after of that before it, and leave in u whatever :meth:`backward` needs."""

    @abstractmethod
    def backward(self, at: Step) -> None:
        """Go back through one step.

        In u, put the gradient towards V x_t + b, and towards each product that has a slot of its own, in place of what
        :meth:`forward` left; in ``grads``, the gradients towards the state before, in place of those towards that
        after; in ``delta``, the gradient towards the products that have no slot. Add to ``vector_grads``.
        """

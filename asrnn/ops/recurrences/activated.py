"""Vanilla recurrences h_t = f(r_t + u_t), where r_t is a product of the state, or a multiple of each unit's own."""

from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from asrnn.ops.recurrence import Recurrence, Tensors

_aten = torch.ops.aten


class Activated(Recurrence):
    """h_t = f(M h_{t-1} + u_t), M ``[H, H]``; it keeps h_t in place of u_t."""

    compiled = Path(__file__).with_name("activated.c")

    @abstractmethod
    def activate(self, u: Tensor) -> None:
        """Put f(u) in place of u."""

    @abstractmethod
    def go_back(self, grad: Tensor, u: Tensor) -> None:
        """Put the gradient towards what f was taken of in place of its value u."""

    def forward(
        self, u: Tensor, before: Tensors, after: Tensors, weights: Tensors, vectors: Tensors, scratch: Tensors
    ) -> None:
        """See :meth:`Recurrence.forward`."""
        torch.addmm(u, before[0], weights[0].t(), out=u)
        self.activate(u)
        after[0].copy_(u)

    def backward(
        self,
        u: Tensor,
        before: Tensors,
        after: Tensors,
        grads: Tensors,
        delta: Tensor,
        weights: Tensors,
        vectors: Tensors,
        vector_grads: Tensors,
        scratch: Tensors,
    ) -> None:
        """See :meth:`Recurrence.backward`."""
        self.go_back(grads[0], u)
        torch.mm(u, weights[0], out=grads[0])


class Rectified(Activated):
    """h_t = f(M h_{t-1} + u_t) with f(a) = a for a > 0, and ``scalars[0]`` times a elsewhere.

    The factor 0 makes the rectifier, 1 the identity; it must not be below 0.
    """

    first_scalars = (0.3,)

    def activate(self, u: Tensor) -> None:
        """See :meth:`Activated.activate`."""
        _aten.leaky_relu.out(u, self.scalars[0], out=u)

    def go_back(self, grad: Tensor, u: Tensor) -> None:
        """See :meth:`Activated.go_back`."""
        _aten.leaky_relu_backward.grad_input(grad, u, self.scalars[0], True, grad_input=u)


class Squashed(Activated):
    """h_t = tanh(M h_{t-1} + u_t)."""

    defines = ("SQUASHED",)

    def activate(self, u: Tensor) -> None:
        """See :meth:`Activated.activate`."""
        u.tanh_()

    def go_back(self, grad: Tensor, u: Tensor) -> None:
        """See :meth:`Activated.go_back`."""
        _aten.tanh_backward.grad_input(grad, u, grad_input=u)


class _Independent(Activated):
    """h_t = f(v * h_{t-1} + u_t), with the vector v in the place of M."""

    products = ()
    num_vectors = 1

    def forward(
        self, u: Tensor, before: Tensors, after: Tensors, weights: Tensors, vectors: Tensors, scratch: Tensors
    ) -> None:
        """See :meth:`Recurrence.forward`."""
        self.activate(u.addcmul_(before[0], vectors[0]))
        after[0].copy_(u)

    def backward(
        self,
        u: Tensor,
        before: Tensors,
        after: Tensors,
        grads: Tensors,
        delta: Tensor,
        weights: Tensors,
        vectors: Tensors,
        vector_grads: Tensors,
        scratch: Tensors,
    ) -> None:
        """See :meth:`Recurrence.backward`."""
        self.go_back(grads[0], u)
        vector_grads[0].addcmul_(u, before[0])
        torch.mul(u, vectors[0], out=grads[0])


class IndependentRectified(_Independent, Rectified):
    """:class:`Rectified` with units that see themselves only, h_t = f(v * h_{t-1} + u_t), v ``[H]``."""


class IndependentSquashed(_Independent, Squashed):
    """:class:`Squashed` with units that see themselves only, h_t = tanh(v * h_{t-1} + u_t), v ``[H]``."""

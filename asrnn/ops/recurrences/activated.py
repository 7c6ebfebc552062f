"""Vanilla recurrences h_t = f(r_t + u_t), where r_t is a product of the state, or a multiple of each unit's own."""

from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from asrnn.ops.recurrence import Recurrence, Step

_aten = torch.ops.aten


class VanillaRNN(Recurrence):
    """h_t = f(M h_{t-1} + u_t), M ``[H, H]``; it keeps h_t in place of u_t."""

    compiled = Path(__file__).parent.joinpath("c", "activated.c")

    @abstractmethod
    def activate(self, u: Tensor) -> None:
        """Put f(u) in place of u."""

    @abstractmethod
    def go_back(self, grad: Tensor, u: Tensor) -> None:
        """Put the gradient towards what f was taken of in place of its value u."""

    def forward(self, step: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        torch.addmm(step.u, step.before[0], step.weights[0].t(), out=step.u)
        self.activate(step.u)
        step.after[0].copy_(step.u)

    def backward(self, step: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        self.go_back(step.grads[0], step.u)
        torch.mm(step.u, step.weights[0], out=step.grads[0])


class LeakyReluRNN(VanillaRNN):
    """h_t = f(M h_{t-1} + u_t) with f(a) = a for a > 0, and ``scalars[0]`` times a elsewhere.

    The factor 0 makes the rectifier, 1 the identity; it must not be below 0.
    """

    first_scalars = (0.3,)

    def activate(self, u: Tensor) -> None:
        """See :meth:`VanillaRNN.activate`."""
        _aten.leaky_relu.out(u, self.scalars[0], out=u)

    def go_back(self, grad: Tensor, u: Tensor) -> None:
        """See :meth:`VanillaRNN.go_back`."""
        _aten.leaky_relu_backward.grad_input(grad, u, self.scalars[0], True, grad_input=u)


class TanhRNN(VanillaRNN):
    """h_t = tanh(M h_{t-1} + u_t)."""

    defines = ("SQUASHED",)

    def activate(self, u: Tensor) -> None:
        """See :meth:`VanillaRNN.activate`."""
        u.tanh_()

    def go_back(self, grad: Tensor, u: Tensor) -> None:
        """See :meth:`VanillaRNN.go_back`."""
        _aten.tanh_backward.grad_input(grad, u, grad_input=u)


class PartlyTanhRNN(Recurrence):
    """h_t = f(M h_{t-1} + u_t), f tanh where the vector is above 0 and the identity elsewhere; it keeps h_t."""

    num_vectors = 1
    num_scratch = 2
    defines = ("PARTLY",)
    compiled = Path(__file__).parent.joinpath("c", "activated.c")

    def forward(self, step: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        torch.addmm(step.u, step.before[0], step.weights[0].t(), out=step.u)
        torch.where(step.vectors[0] > 0, torch.tanh(step.u, out=step.scratch[0]), step.u, out=step.after[0])
        step.u.copy_(step.after[0])

    def backward(self, step: Step) -> None:
        """See :meth:`Recurrence.backward`: nothing reaches the vector."""
        (grad,), (squashed, chosen) = step.grads, step.scratch
        _aten.tanh_backward.grad_input(grad, step.u, grad_input=squashed)
        step.u.copy_(torch.where(step.vectors[0] > 0, squashed, grad, out=chosen))
        torch.mm(step.u, step.weights[0], out=grad)


class _IndependentUnits(VanillaRNN):
    """h_t = f(v * h_{t-1} + u_t), with the vector v in the place of M."""

    products = ()
    num_vectors = 1

    def forward(self, step: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        self.activate(step.u.addcmul_(step.before[0], step.vectors[0]))
        step.after[0].copy_(step.u)

    def backward(self, step: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        self.go_back(step.grads[0], step.u)
        step.vector_grads[0].addcmul_(step.u, step.before[0])
        torch.mul(step.u, step.vectors[0], out=step.grads[0])


class IndependentLeakyReluRNN(_IndependentUnits, LeakyReluRNN):
    """:class:`LeakyReluRNN` with units that see themselves only, h_t = f(v * h_{t-1} + u_t), v ``[H]``."""


class IndependentTanhRNN(_IndependentUnits, TanhRNN):
    """:class:`TanhRNN` with units that see themselves only, h_t = tanh(v * h_{t-1} + u_t), v ``[H]``."""

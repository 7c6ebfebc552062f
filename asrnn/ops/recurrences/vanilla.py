"""Vanilla recurrences h_t = f(M h_{t-1} + u_t), or with independent units h_t = f(v * h_{t-1} + u_t)."""

from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from asrnn.ops.recurrence import Recurrence, Step

_aten = torch.ops.aten


class VanillaRNN(Recurrence):
    """h_t = f(M h_{t-1} + u_t), with a weight M ``[H, H]``. It keeps h_t in place of u_t."""

    compiled = Path(__file__).parent.joinpath("c", "vanilla.c")

    @abstractmethod
    def activate(self, u: Tensor) -> None:
        """Replace u by f(u)."""

    @abstractmethod
    def activation_grad(self, grad: Tensor, f: Tensor) -> None:
        """Replace f(u) by the gradient of u, given the gradient of f(u)."""

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        torch.addmm(step.u, step.before[0], step.weights[0].t(), out=step.u)
        self.activate(step.u)
        step.after[0].copy_(step.u)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        self.activation_grad(step.grads[0], step.u)
        torch.mm(step.u, step.weights[0], out=step.grads[0])


class LeakyReluRNN(VanillaRNN):
    """h_t = f(M h_{t-1} + u_t) with f(a) = a for a > 0 and f(a) = ``scalars[0]`` a for a <= 0.

    The slope ``scalars[0]`` must be >= 0: 0 gives the ReLU, 1 the identity.
    """

    first_scalars = (0.3,)

    def activate(self, u: Tensor) -> None:
        """Replace u by f(u)."""
        _aten.leaky_relu.out(u, self.scalars[0], out=u)

    def activation_grad(self, grad: Tensor, f: Tensor) -> None:
        """Replace f(u) by the gradient of u."""
        _aten.leaky_relu_backward.grad_input(grad, f, self.scalars[0], True, grad_input=f)


class TanhRNN(VanillaRNN):
    """h_t = tanh(M h_{t-1} + u_t)."""

    defines = ("TANH",)

    def activate(self, u: Tensor) -> None:
        """Replace u by f(u)."""
        u.tanh_()

    def activation_grad(self, grad: Tensor, f: Tensor) -> None:
        """Replace f(u) by the gradient of u."""
        _aten.tanh_backward.grad_input(grad, f, grad_input=f)


class PartlyTanhRNN(Recurrence):
    """h_t = f(M h_{t-1} + u_t), where f is tanh for units whose vector is above 0, and the identity for the others.

    It keeps h_t in place of u_t.
    """

    num_vectors = 1
    num_scratch = 2
    defines = ("PARTLY_TANH",)
    compiled = Path(__file__).parent.joinpath("c", "vanilla.c")

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        torch.addmm(step.u, step.before[0], step.weights[0].t(), out=step.u)
        torch.where(step.vectors[0] > 0, torch.tanh(step.u, out=step.scratch[0]), step.u, out=step.after[0])
        step.u.copy_(step.after[0])

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`. The vector has no gradient."""
        (grad,), (tanh_grad, chosen) = step.grads, step.scratch
        _aten.tanh_backward.grad_input(grad, step.u, grad_input=tanh_grad)
        step.u.copy_(torch.where(step.vectors[0] > 0, tanh_grad, grad, out=chosen))
        torch.mm(step.u, step.weights[0], out=grad)


class _IndependentUnits(VanillaRNN):
    """h_t = f(v * h_{t-1} + u_t), with a vector v ``[H]`` in place of M."""

    products = ()
    num_vectors = 1

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        self.activate(step.u.addcmul_(step.before[0], step.vectors[0]))
        step.after[0].copy_(step.u)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        self.activation_grad(step.grads[0], step.u)
        step.vector_grads[0].addcmul_(step.u, step.before[0])
        torch.mul(step.u, step.vectors[0], out=step.grads[0])


class IndependentLeakyReluRNN(_IndependentUnits, LeakyReluRNN):
    """h_t = f(v * h_{t-1} + u_t), with a vector v ``[H]`` and the f of :class:`LeakyReluRNN`."""


class IndependentTanhRNN(_IndependentUnits, TanhRNN):
    """h_t = tanh(v * h_{t-1} + u_t), with a vector v ``[H]``."""

"""Define the recurrence of the Lipschitz RNN: Euler steps of h' = A h + tanh(W h + u)."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Product, Recurrence, Step

_aten = torch.ops.aten


class LipschitzEuler(Recurrence):
    """h_t = h_{t-1} + epsilon (A h_{t-1} + y_t), y_t = tanh(W h_{t-1} + u_t), with the weights W and A ``[H, H]``.

    The scalar is epsilon. It keeps y_t in place of u_t, and A h_{t-1} in a second slot.
    """

    num_slots = 2
    products = (Product(weight=0, slot=0), Product(weight=1, slot=1))
    compiled = Path(__file__).parent.joinpath("c", "lipschitz.c")
    first_scalars = (0.3,)

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (epsilon,), (W, A), (h,), (y, linear) = self.scalars, step.weights, step.before, step.u.chunk(2, dim=1)
        y.addmm_(h, W.t()).tanh_()
        torch.mm(h, A.t(), out=linear)
        torch.add(h, y, alpha=epsilon, out=step.after[0]).add_(linear, alpha=epsilon)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        (epsilon,), (W, A), (g,), (y, linear) = self.scalars, step.weights, step.grads, step.u.chunk(2, dim=1)
        torch.mul(g, epsilon, out=linear)
        _aten.tanh_backward.grad_input(linear, y, grad_input=y)
        g.addmm_(y, W).addmm_(linear, A)

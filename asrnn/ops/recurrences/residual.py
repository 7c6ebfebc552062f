"""The recurrences of the AntisymmetricRNN paper: Euler steps of h' = tanh(M h + V x + b), with and without a gate."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Product, Recurrence, Step

_aten = torch.ops.aten


class Residual(Recurrence):
    """h_t = h_{t-1} + epsilon tanh(M h_{t-1} + u_t), M ``[H, H]``; it keeps y_t = tanh(M h_{t-1} + u_t)."""

    compiled = Path(__file__).parent.joinpath("c", "residual.c")
    first_scalars = (0.3,)

    def forward(self, at: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        (epsilon,), (M,), (h,) = self.scalars, at.weights, at.before
        torch.addmm(at.u, h, M.t(), out=at.u)
        torch.add(h, at.u.tanh_(), alpha=epsilon, out=at.after[0])

    def backward(self, at: Step) -> None:
        """See :meth:`Recurrence.backward`: the gradient towards u is epsilon g (1 - y^2)."""
        (epsilon,), (M,), (g,) = self.scalars, at.weights, at.grads
        _aten.tanh_backward.grad_input(torch.mul(g, epsilon, out=at.scratch[0]), at.u, grad_input=at.u)
        g.addmm_(at.u, M)


class GatedResidual(Recurrence):
    """h_t = h_{t-1} + epsilon z_t * y_t, z_t = sigmoid(M h_{t-1} + u_z), y_t = tanh(M h_{t-1} + u_y), M ``[H, H]``.

    The gate and the candidate share M; u_t = (u_z, u_y). It keeps z_t and y_t in place of u_t.
    """

    num_inputs = 2
    num_scratch = 2
    products = (Product(slot=2),)
    compiled = Path(__file__).parent.joinpath("c", "gated_residual.c")
    first_scalars = (0.3,)

    def forward(self, at: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        (epsilon,), (M,), (h,) = self.scalars, at.weights, at.before
        z, y = at.u.chunk(2, dim=1)
        product = torch.mm(h, M.t(), out=at.scratch[0])
        z.add_(product).sigmoid_()
        y.add_(product).tanh_()
        torch.addcmul(h, z, y, value=epsilon, out=at.after[0])

    def backward(self, at: Step) -> None:
        """See :meth:`Recurrence.backward`: M h_{t-1} adds to both, so its gradient is the sum of theirs."""
        (epsilon,), (M,), (g,), (step, part) = self.scalars, at.weights, at.grads, at.scratch
        z, y = at.u.chunk(2, dim=1)
        torch.mul(g, epsilon, out=step)
        torch.mul(step, y, out=part)
        step.mul_(z)
        _aten.sigmoid_backward.grad_input(part, z, grad_input=z)
        _aten.tanh_backward.grad_input(step, y, grad_input=y)
        g.addmm_(torch.add(z, y, out=at.delta), M)

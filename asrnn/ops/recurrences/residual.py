"""Define the recurrences of the AntisymmetricRNN paper: Euler steps of h' = tanh(M h + V x + b), also with a gate."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Product, Recurrence, Step

_aten = torch.ops.aten


class Residual(Recurrence):
    """h_t = h_{t-1} + epsilon y_t, y_t = tanh(M h_{t-1} + u_t), with a weight M ``[H, H]`` and the scalar epsilon.

    It keeps y_t in place of u_t.
    """

    compiled = Path(__file__).parent.joinpath("c", "residual.c")
    first_scalars = (0.3,)

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (epsilon,), (M,), (h,) = self.scalars, step.weights, step.before
        torch.addmm(step.u, h, M.t(), out=step.u)
        torch.add(h, step.u.tanh_(), alpha=epsilon, out=step.after[0])

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`. The gradient of u is epsilon g (1 - y^2)."""
        (epsilon,), (M,), (g,) = self.scalars, step.weights, step.grads
        _aten.tanh_backward.grad_input(torch.mul(g, epsilon, out=step.scratch[0]), step.u, grad_input=step.u)
        g.addmm_(step.u, M)


class GatedResidual(Recurrence):
    """h_t = h_{t-1} + epsilon z_t * y_t, z_t = sigmoid(M h_{t-1} + u_z), y_t = tanh(M h_{t-1} + u_y), M ``[H, H]``.

    The gate z and the candidate y share the weight M. The inputs are u_z and u_y, the scalar is epsilon. It keeps z_t
    and y_t in place of the inputs.
    """

    num_inputs = 2
    num_scratch = 2
    products = (Product(slot=2),)
    compiled = Path(__file__).parent.joinpath("c", "gated_residual.c")
    first_scalars = (0.3,)

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (epsilon,), (M,), (h,) = self.scalars, step.weights, step.before
        z, y = step.u.chunk(2, dim=1)
        product = torch.mm(h, M.t(), out=step.scratch[0])
        z.add_(product).sigmoid_()
        y.add_(product).tanh_()
        torch.addcmul(h, z, y, value=epsilon, out=step.after[0])

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`.

        The gradient of M h_{t-1} is the sum of those of u_z and u_y.
        """
        (epsilon,), (M,), (g,), (scaled, part) = self.scalars, step.weights, step.grads, step.scratch
        z, y = step.u.chunk(2, dim=1)
        torch.mul(g, epsilon, out=scaled)
        torch.mul(scaled, y, out=part)
        scaled.mul_(z)
        _aten.sigmoid_backward.grad_input(part, z, grad_input=z)
        _aten.tanh_backward.grad_input(scaled, y, grad_input=y)
        g.addmm_(torch.add(z, y, out=step.product_grad), M)

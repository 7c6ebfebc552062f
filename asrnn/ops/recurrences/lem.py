"""Define the recurrence of Long Expressive Memory (LEM). A step has two halves, because y_t depends on the new z_t."""

from pathlib import Path

import torch
from torch import Tensor

from asrnn.ops.recurrence import Product, Recurrence, Step, Tensors

_aten = torch.ops.aten


class LongExpressiveMemory(Recurrence):
    """z_t = z + dt s_1 * (f_z - z), y_t = y + dt s_2 * (f_y - y), where z and y are the state before the step.

    The gates are s_k = sigmoid(M_k y + u_k), the candidates f_z = tanh(M_z y + u_z) and f_y = tanh(M_y z_t + u_y). The
    state is (y, z), the scalar is dt. It keeps s_1, s_2, f_z and f_y; the inputs and the weights, ``[H, H]`` each, have
    the same order.
    """

    num_states = 2
    num_inputs = 4
    num_scratch = 2
    products = (
        Product(weight=0, state=0, slot=0),
        Product(weight=1, state=0, slot=1),
        Product(weight=2, state=0, slot=2),
        Product(weight=3, state=1, slot=3, after=True),
    )
    compiled = Path(__file__).parent.joinpath("c", "lem.c")
    first_scalars = (0.6,)

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (dt,), (y, z), (new_y, new_z), (difference, _) = self.scalars, step.before, step.after, step.scratch
        s_1, s_2, f_z, f_y = step.u.chunk(4, dim=1)
        s_1.addmm_(y, step.weights[0].t()).sigmoid_()
        s_2.addmm_(y, step.weights[1].t()).sigmoid_()
        f_z.addmm_(y, step.weights[2].t()).tanh_()
        torch.addcmul(z, s_1, torch.sub(f_z, z, out=difference), value=dt, out=new_z)
        f_y.addmm_(new_z, step.weights[3].t()).tanh_()
        torch.addcmul(y, s_2, torch.sub(f_y, y, out=difference), value=dt, out=new_y)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        (y, z), (g_y, g_z) = step.before, step.grads
        s_1, s_2, f_z, f_y = step.u.chunk(4, dim=1)
        self._half_grads(s_2, f_y, y, g_y, step.scratch)
        g_z.addmm_(f_y, step.weights[3])
        self._half_grads(s_1, f_z, z, g_z, step.scratch)
        g_y.addmm_(s_1, step.weights[0]).addmm_(s_2, step.weights[1]).addmm_(f_z, step.weights[2])

    def _half_grads(self, s: Tensor, f: Tensor, old: Tensor, g: Tensor, scratch: Tensors) -> None:
        """Compute the gradients of new = old + dt s (f - old), given that of new in g.

        They replace g by the gradient of old, and s and f by the gradients of the inputs of sigmoid and tanh.
        """
        (dt,), (s_grad, f_grad) = self.scalars, scratch
        torch.sub(f, old, out=s_grad).mul_(g).mul_(dt)
        torch.mul(g, s, out=f_grad).mul_(dt)
        g.sub_(f_grad)
        _aten.sigmoid_backward.grad_input(s_grad, s, grad_input=s)
        _aten.tanh_backward.grad_input(f_grad, f, grad_input=f)

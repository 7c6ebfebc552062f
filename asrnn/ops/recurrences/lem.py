"""The recurrence of Long Expressive Memory: a step in two halves, as the new z enters y."""

from pathlib import Path

import torch
from torch import Tensor

from asrnn.ops.recurrence import Product, Recurrence, Step, Tensors

_aten = torch.ops.aten


class LongExpressiveMemory(Recurrence):
    """z_t = z + dt s_1 * (f_z - z), y_t = y + dt s_2 * (f_y - y), with z and y those before the step.

    s_k = sigmoid(M_k y + u_k), f_z = tanh(M_z y + u_z) and f_y = tanh(M_y z_t + u_y); they are kept, in the order s_1,
    s_2, f_z, f_y, which is that of the inputs and of the weights too. The state is (y, z), the scalar dt.
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
        """See :meth:`Recurrence.forward`."""
        (dt,), (y, z), (new_y, new_z), (difference, _) = self.scalars, step.before, step.after, step.scratch
        s_1, s_2, f_z, f_y = step.u.chunk(4, dim=1)
        s_1.addmm_(y, step.weights[0].t()).sigmoid_()
        s_2.addmm_(y, step.weights[1].t()).sigmoid_()
        f_z.addmm_(y, step.weights[2].t()).tanh_()
        torch.addcmul(z, s_1, torch.sub(f_z, z, out=difference), value=dt, out=new_z)
        f_y.addmm_(new_z, step.weights[3].t()).tanh_()
        torch.addcmul(y, s_2, torch.sub(f_y, y, out=difference), value=dt, out=new_y)

    def backward(self, step: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        (y, z), (g_y, g_z) = step.before, step.grads
        s_1, s_2, f_z, f_y = step.u.chunk(4, dim=1)
        self._half(s_2, f_y, y, g_y, step.scratch)
        g_z.addmm_(f_y, step.weights[3])
        self._half(s_1, f_z, z, g_z, step.scratch)
        g_y.addmm_(s_1, step.weights[0]).addmm_(s_2, step.weights[1]).addmm_(f_z, step.weights[2])

    def _half(self, s: Tensor, f: Tensor, old: Tensor, g: Tensor, scratch: Tensors) -> None:
        """Go back through new = old + dt s (f - old), for what is below the sigmoid and the tanh."""
        (dt,), (through_s, through_f) = self.scalars, scratch
        torch.sub(f, old, out=through_s).mul_(g).mul_(dt)
        torch.mul(g, s, out=through_f).mul_(dt)
        g.sub_(through_f)
        _aten.sigmoid_backward.grad_input(through_s, s, grad_input=s)
        _aten.tanh_backward.grad_input(through_f, f, grad_input=f)

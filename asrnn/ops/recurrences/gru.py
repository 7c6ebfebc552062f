"""Define the recurrence of the GRU, in torch's form: the reset gate multiplies the recurrent product, not the state."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Product, Recurrence, Step

_aten = torch.ops.aten


class GatedRecurrentUnit(Recurrence):
    """h_t = (1 - z) * n + z * h_{t-1}, n = tanh(u_n + r * p), p = W_n h_{t-1} + b.

    The gates are r = sigmoid(W_r h_{t-1} + u_r) and z = sigmoid(W_z h_{t-1} + u_z). The inputs are u_r, u_z and u_n,
    the weights W_r, W_z and W_n, ``[H, H]`` each, and the vector is b ``[H]``. It keeps r, z, n and p.
    """

    num_inputs = 3
    num_slots = 4
    num_vectors = 1
    num_scratch = 2
    products = (Product(weight=0, slot=0), Product(weight=1, slot=1), Product(weight=2, slot=3))
    compiled = Path(__file__).parent.joinpath("c", "gru.c")

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (h,), (W_r, W_z, W_n), (b,) = step.before, step.weights, step.vectors
        r, z, n, p = step.u.chunk(4, dim=1)
        r.addmm_(h, W_r.t()).sigmoid_()
        z.addmm_(h, W_z.t()).sigmoid_()
        torch.mm(h, W_n.t(), out=p).add_(b)
        n.addcmul_(r, p).tanh_()
        torch.addcmul(n, z, torch.sub(h, n, out=step.scratch[0]), out=step.after[0])

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`.

        The fourth slot gets the gradient of p, which is r times that of u_n.
        """
        (h,), (g,), (W_r, W_z, W_n) = step.before, step.grads, step.weights
        (gate_grad, n_grad), (r, z, n, p) = step.scratch, step.u.chunk(4, dim=1)
        torch.sub(h, n, out=gate_grad).mul_(g)
        torch.addcmul(g, g, z, value=-1, out=n_grad)
        g.mul_(z)
        _aten.sigmoid_backward.grad_input(gate_grad, z, grad_input=z)
        _aten.tanh_backward.grad_input(n_grad, n, grad_input=n)
        torch.mul(n, p, out=gate_grad)
        torch.mul(n, r, out=p)
        _aten.sigmoid_backward.grad_input(gate_grad, r, grad_input=r)
        step.vector_grads[0].add_(p)
        g.addmm_(r, W_r).addmm_(z, W_z).addmm_(p, W_n)

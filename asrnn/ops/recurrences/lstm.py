"""Define the recurrence of the LSTM with a forget gate."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Product, Recurrence, Step

_aten = torch.ops.aten


class LongShortTermMemory(Recurrence):
    """c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t).

    The gates i, f and o are sigmoid(W h_{t-1} + u), the candidate g is tanh(W h_{t-1} + u). Each has its own weight W
    ``[H, H]`` and input u. The state is (h, c). It keeps i, f, g and o; the inputs and the weights have the same order.
    """

    num_states = 2
    num_inputs = 4
    num_scratch = 2
    products = tuple(Product(weight=gate, slot=gate) for gate in range(4))
    compiled = Path(__file__).parent.joinpath("c", "lstm.c")

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (h, c), (new_h, new_c) = step.before, step.after
        i, f, g, o = step.u.chunk(4, dim=1)
        for gate, W in zip((i, f, g, o), step.weights, strict=True):
            gate.addmm_(h, W.t())
        i.sigmoid_()
        f.sigmoid_()
        g.tanh_()
        o.sigmoid_()
        torch.mul(f, c, out=new_c).addcmul_(i, g)
        torch.tanh(new_c, out=new_h).mul_(o)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        (_, c), (_, new_c), (g_h, g_c), (first, second) = step.before, step.after, step.grads, step.scratch
        i, f, g, o = step.u.chunk(4, dim=1)
        torch.tanh(new_c, out=first)
        torch.mul(g_h, first, out=second)
        g_c.add_(_aten.tanh_backward.grad_input(g_h.mul_(o), first, grad_input=first))
        _aten.sigmoid_backward.grad_input(second, o, grad_input=o)
        torch.mul(g_c, g, out=first)
        torch.mul(g_c, i, out=second)
        _aten.sigmoid_backward.grad_input(first, i, grad_input=i)
        _aten.tanh_backward.grad_input(second, g, grad_input=g)
        torch.mul(g_c, c, out=first)
        g_c.mul_(f)
        _aten.sigmoid_backward.grad_input(first, f, grad_input=f)
        torch.mm(i, step.weights[0], out=g_h)
        for gate, W in zip((f, g, o), step.weights[1:], strict=True):
            g_h.addmm_(gate, W)

"""The recurrences of networks of oscillators: y is where they are, z how fast they move, and the new z moves y."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Product, Recurrence, Step

_aten = torch.ops.aten


class CoupledOscillators(Recurrence):
    """z_t = z_{t-1} + dt (f_t - gamma y_{t-1} - epsilon z_{t-1}), y_t = y_{t-1} + dt z_t, of coRNN.

    The force is f_t = tanh(M_y y_{t-1} + M_z z_{t-1} + u_t), and is kept; the scalars are dt, gamma and epsilon.
    """

    num_states = 2
    num_scratch = 2
    products = (Product(weight=0, state=0), Product(weight=1, state=1))
    compiled = Path(__file__).parent.joinpath("c", "coupled_oscillators.c")
    first_scalars = (0.3, 1.5, 0.5)

    def forward(self, at: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        (dt, gamma, epsilon), (y, z), (new_y, new_z) = self.scalars, at.before, at.after
        at.u.addmm_(y, at.weights[0].t()).addmm_(z, at.weights[1].t()).tanh_()
        torch.mul(z, 1 - dt * epsilon, out=new_z).add_(y, alpha=-dt * gamma).add_(at.u, alpha=dt)
        torch.add(y, new_z, alpha=dt, out=new_y)

    def backward(self, at: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        (dt, gamma, epsilon), (g_y, g_z), (towards_new_z, part) = self.scalars, at.grads, at.scratch
        torch.add(g_z, g_y, alpha=dt, out=towards_new_z)
        _aten.tanh_backward.grad_input(torch.mul(towards_new_z, dt, out=part), at.u, grad_input=at.u)
        g_y.add_(towards_new_z, alpha=-dt * gamma).addmm_(at.u, at.weights[0])
        torch.mul(towards_new_z, 1 - dt * epsilon, out=g_z).addmm_(at.u, at.weights[1])


class IndependentOscillators(Recurrence):
    """z_t = z_{t-1} - tau * (f_t + alpha y_{t-1}), y_t = y_{t-1} + tau * z_t, of UnICORNN.

    The force is f_t = tanh(w * y_{t-1} + u_t), and is kept; the vectors are w and tau, the scalar is alpha.
    """

    num_states = 2
    num_vectors = 2
    products = ()
    num_scratch = 2
    compiled = Path(__file__).parent.joinpath("c", "independent_oscillators.c")
    first_scalars = (0.7,)

    def forward(self, at: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        (alpha,), (w, tau), (y, z), (new_y, new_z) = self.scalars, at.vectors, at.before, at.after
        at.u.addcmul_(y, w).tanh_()
        pull = torch.add(at.u, y, alpha=alpha, out=at.scratch[0])
        torch.addcmul(z, pull, tau, value=-1, out=new_z)
        torch.addcmul(y, new_z, tau, out=new_y)

    def backward(self, at: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        (alpha,), (w, tau), (pull, towards_pull) = self.scalars, at.vectors, at.scratch
        y, (g_y, g_z) = at.before[0], at.grads
        torch.add(at.u, y, alpha=alpha, out=pull)
        at.vector_grads[1].addcmul_(g_y, at.after[1])
        g_z.addcmul_(g_y, tau)
        at.vector_grads[1].addcmul_(g_z, pull, value=-1)
        torch.mul(g_z, tau, out=towards_pull).neg_()
        _aten.tanh_backward.grad_input(towards_pull, at.u, grad_input=at.u)
        at.vector_grads[0].addcmul_(at.u, y)
        g_y.add_(towards_pull, alpha=alpha).addcmul_(at.u, w)

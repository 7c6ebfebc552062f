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

    def forward(self, step: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        (dt, gamma, epsilon), (y, z), (new_y, new_z) = self.scalars, step.before, step.after
        step.u.addmm_(y, step.weights[0].t()).addmm_(z, step.weights[1].t()).tanh_()
        torch.mul(z, 1 - dt * epsilon, out=new_z).add_(y, alpha=-dt * gamma).add_(step.u, alpha=dt)
        torch.add(y, new_z, alpha=dt, out=new_y)

    def backward(self, step: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        (dt, gamma, epsilon), (g_y, g_z), (towards_new_z, part) = self.scalars, step.grads, step.scratch
        torch.add(g_z, g_y, alpha=dt, out=towards_new_z)
        _aten.tanh_backward.grad_input(torch.mul(towards_new_z, dt, out=part), step.u, grad_input=step.u)
        g_y.add_(towards_new_z, alpha=-dt * gamma).addmm_(step.u, step.weights[0])
        torch.mul(towards_new_z, 1 - dt * epsilon, out=g_z).addmm_(step.u, step.weights[1])


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

    def forward(self, step: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        (alpha,), (w, tau), (y, z), (new_y, new_z) = self.scalars, step.vectors, step.before, step.after
        step.u.addcmul_(y, w).tanh_()
        pull = torch.add(step.u, y, alpha=alpha, out=step.scratch[0])
        torch.addcmul(z, pull, tau, value=-1, out=new_z)
        torch.addcmul(y, new_z, tau, out=new_y)

    def backward(self, step: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        (alpha,), (w, tau), (pull, towards_pull) = self.scalars, step.vectors, step.scratch
        y, (g_y, g_z) = step.before[0], step.grads
        torch.add(step.u, y, alpha=alpha, out=pull)
        step.vector_grads[1].addcmul_(g_y, step.after[1])
        g_z.addcmul_(g_y, tau)
        step.vector_grads[1].addcmul_(g_z, pull, value=-1)
        torch.mul(g_z, tau, out=towards_pull).neg_()
        _aten.tanh_backward.grad_input(towards_pull, step.u, grad_input=step.u)
        step.vector_grads[0].addcmul_(step.u, y)
        g_y.add_(towards_pull, alpha=alpha).addcmul_(step.u, w)

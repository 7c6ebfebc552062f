"""Recurrences with modReLU, which adds a bias to the modulus of a unit and keeps its sign or phase."""

from pathlib import Path

import torch
from torch import Tensor

from asrnn.ops.recurrence import Product, Recurrence, Step


class ModReLU(Recurrence):
    """h_t = sign(z) relu(|z| + b), z = M h_{t-1} + u_t, with a weight M ``[H, H]`` and a vector b ``[H]``.

    It keeps z in place of u_t.
    """

    num_vectors = 1
    num_scratch = 2
    compiled = Path(__file__).parent.joinpath("c", "modrelu.c")

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        torch.addmm(step.u, step.before[0], step.weights[0].t(), out=step.u)
        size = torch.abs(step.u, out=step.scratch[0]).add_(step.vectors[0]).clamp_min_(0)
        torch.sign(step.u, out=step.after[0]).mul_(size)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`.

        For |z| + b > 0 the gradient of z is g, and that of b is sign(z) g. Otherwise both are 0.
        """
        (g,), (bias_grad, sign) = step.grads, step.scratch
        torch.sign(step.u, out=sign)
        torch.abs(step.u, out=bias_grad).add_(step.vectors[0])
        torch.gt(bias_grad, 0, out=bias_grad).mul_(g).mul_(sign)
        step.vector_grads[0].add_(bias_grad)
        torch.mul(bias_grad, sign, out=step.u)
        torch.mm(step.u, step.weights[0], out=g)


class ComplexModReLU(Recurrence):
    """h_t = relu(|z| + b) z / |z|, z = W h_{t-1} + u_t, with complex h, W and u, and a real vector b ``[H]``.

    The state is (Re h, Im h), the inputs are Re u and Im u, and the weights are Re W, Im W and -Im W, ``[H, H]`` each.
    It keeps z in place of u_t.
    """

    num_states = num_outputs = num_inputs = 2
    num_vectors = 1
    num_scratch = 5
    products = (
        Product(weight=0, state=0, slot=0),
        Product(weight=2, state=1, slot=0),
        Product(weight=1, state=0, slot=1),
        Product(weight=0, state=1, slot=1),
    )
    compiled = Path(__file__).parent.joinpath("c", "complex_modrelu.c")

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (h_re, h_im), (z_re, z_im), (re, im, minus_im) = step.before, step.u.chunk(2, dim=1), step.weights
        modulus, scale, square, *_ = step.scratch
        z_re.addmm_(h_re, re.t()).addmm_(h_im, minus_im.t())
        z_im.addmm_(h_re, im.t()).addmm_(h_im, re.t())
        _modulus(z_re, z_im, modulus)
        torch.add(modulus, step.vectors[0], out=scale).clamp_min_(0).div_(modulus)
        torch.mul(z_re, z_re, out=square).addcmul_(z_im, z_im)
        scale.mul_(torch.gt(square, 0, out=square))
        torch.mul(scale, z_re, out=step.after[0])
        torch.mul(scale, z_im, out=step.after[1])

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`.

        With n = z / |z| and p = Re(conj(n) g), an active unit has the gradients g + (b / |z|) (g - p n) of z, and p of
        b. A unit whose output is 0 has the gradients 0.
        """
        (z_re, z_im), (g_re, g_im), (re, im, minus_im) = step.u.chunk(2, dim=1), step.grads, step.weights
        modulus, active, along, ratio, part = step.scratch
        _modulus(z_re, z_im, modulus)
        torch.mul(z_re, z_re, out=part).addcmul_(z_im, z_im)
        torch.gt(part, 0, out=active)
        torch.add(modulus, step.vectors[0], out=part)
        active.mul_(torch.gt(part, 0, out=part))
        z_re.div_(modulus)
        z_im.div_(modulus)
        torch.mul(z_re, g_re, out=along).addcmul_(z_im, g_im).mul_(active)
        step.vector_grads[0].add_(along)
        torch.div(step.vectors[0], modulus, out=ratio).mul_(active)
        for z, g in ((z_re, g_re), (z_im, g_im)):
            torch.mul(g, active, out=part)
            g.addcmul_(along, z, value=-1).mul_(ratio)
            torch.add(part, g, out=z)
        torch.mm(z_re, re, out=g_re).addmm_(z_im, im)
        torch.mm(z_re, minus_im, out=g_im).addmm_(z_im, re)


def _modulus(re: Tensor, im: Tensor, out: Tensor) -> None:
    """Compute |z|, or a tiny number for z = 0, so that it can be a divisor."""
    torch.mul(re, re, out=out).addcmul_(im, im).sqrt_().clamp_min_(1e-30)

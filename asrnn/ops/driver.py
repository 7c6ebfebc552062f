"""The two passes of a fused scan: stretch by stretch, one product for the inputs, the steps, one a gradient."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.ops.buffers import Lease
from asrnn.ops.operands import Operands
from asrnn.ops.recurrence import Recurrence, Tensors
from asrnn.ops.runner import Runner
from asrnn.ops.sums import PairwiseSum, product_over_rows
from asrnn.ops.trace import Trace, stretches

_WORTH_A_LOOK = 8  # inputs: with fewer, the projection is too cheap to save; elsewhere, looking waits for the device


@dataclass(frozen=True, slots=True)
class Gradients:
    """The gradients towards the operands, of the same shapes; towards x only where it was asked for."""

    x: Tensor | None
    weight_ih: Tensor
    bias: Tensor
    state: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    vectors: tuple[Tensor, ...]

    def tensors(self) -> tuple[Tensor | None, ...]:
        """Return them in the order of :meth:`Operands.tensors`."""
        return (self.x, self.weight_ih, self.bias, *self.state, *self.weights, *self.vectors)


def scan_forward(
    runner: Runner, recurrence: Recurrence, operands: Operands, sequence: Tensor, *, keep: bool
) -> tuple[list[Tensor], Trace]:
    """Run a recurrence over a sequence.

    Args:
        runner: what takes the steps.
        recurrence: what a step is.
        operands: what is read.
        sequence: where the outputs of every step go, side by side, ``[B, T, O H]``; without time steps, nowhere.
        keep: keep what :func:`scan_backward` needs.

    Returns:
        the state after the last step, ``[B, W]`` each, and the trace.
    """
    trace = Trace(runner, recurrence, operands, keep=keep)
    run, project = runner.forward(recurrence, operands.weights, operands.vectors), runner.project(operands)
    last = list(operands.state)
    for steps in stretches(operands.x.shape[1], trace.length):
        trace.begin(steps, last)
        u, states = trace.stretch(steps)
        x = operands.x[:, steps]
        if _same_for_all(x):
            _project_once(x, operands, u)
        else:
            project(x, u)
        run(u, states)
        last = [part[-1] for part in states]
        if sequence.shape[1]:
            for output, part in zip(_outputs(recurrence, sequence[:, steps]), states, strict=False):
                output.copy_(part[1:, :, : output.shape[2]].transpose(0, 1))
    return [part.clone() for part in last], trace


def scan_backward(
    runner: Runner,
    recurrence: Recurrence,
    operands: Operands,
    trace: Trace,
    grads: list[Tensor],
    grad_sequence: Tensor | None,
    *,
    towards_x: bool,
) -> Gradients:
    """Go back through a scan, over the trace that it left, which is spent thereby.

    Args:
        runner: what takes the steps.
        recurrence: what a step is.
        operands: what the scan read.
        trace: what it kept.
        grads: the gradients towards the last state, ``[B, W]`` each; overwritten.
        grad_sequence: the gradient towards the outputs of every step, ``[B, T, O H]``, if there is any.
        towards_x: compute the gradient towards the input.
    """
    x, weight_ih = operands.x, operands.weight_ih
    batch_size, width = operands.state[0].shape
    run = runner.backward(recurrence, operands.weights, operands.vectors)
    scratch = Lease(weight_ih.dtype, weight_ih.device)
    delta = scratch.take(trace.length, batch_size, width if recurrence.has_delta() else 0)
    outputs = range(0 if grad_sequence is None else recurrence.num_outputs)
    more = [scratch.take(trace.length, batch_size, width).zero_() for _ in outputs]
    # With a column of ones, by which the gradient of the bias is one row more of that of V.
    inputs = scratch.take(trace.length, batch_size, x.shape[2] + 1)
    inputs[:, :, -1] = 1
    input_grad = torch.empty_like(x, memory_format=torch.contiguous_format) if towards_x else None
    weight_grads = tuple(torch.zeros_like(weight, memory_format=torch.contiguous_format) for weight in operands.weights)
    vector_sums, input_weights = [PairwiseSum() for _ in operands.vectors], PairwiseSum()
    for steps in reversed(stretches(x.shape[1], trace.length)):
        u, states = trace.return_to(steps)
        here = delta[: len(u)]
        if grad_sequence is not None:
            for part, given in zip(more, _outputs(recurrence, grad_sequence[:, steps]), strict=True):
                part[: len(u), :, : given.shape[2]].copy_(given.transpose(0, 1))
        vector_grads = [torch.zeros_like(vector) for vector in operands.vectors]
        run(u, states, grads, here, more, vector_grads)
        for vector_sum, grad in zip(vector_sums, vector_grads, strict=True):
            vector_sum.add(grad)
        _accumulate(runner, recurrence, weight_grads, u, here, states)
        towards_u = u[:, :, : len(operands.bias)]
        input_weights.add(_towards_input_weights(runner, x[:, steps], inputs[: len(u)], towards_u))
        if input_grad is not None:
            input_grad[:, steps].copy_((towards_u.flatten(0, 1) @ weight_ih).view(*u.shape[:2], -1).transpose(0, 1))
    scratch.end()
    found = input_weights.total()
    return Gradients(
        x=input_grad,
        weight_ih=found[:-1].t(),
        bias=found[-1],
        state=tuple(grads),
        weights=weight_grads,
        vectors=tuple(vector_sum.total() for vector_sum in vector_sums),
    )


def _towards_input_weights(runner: Runner, x: Tensor, inputs: Tensor, towards_u: Tensor) -> Tensor:
    """Return what :meth:`Runner.towards_input_weights` does, from one product where all samples have one input."""
    if _same_for_all(x):
        inputs, towards_u = inputs[:, 0], towards_u.sum(1)
        inputs[:, :-1].copy_(x[0])
        return product_over_rows(inputs, towards_u)
    return runner.towards_input_weights(x, inputs, towards_u)


def _accumulate(
    runner: Runner, recurrence: Recurrence, grads: Sequence[Tensor], u: Tensor, delta: Tensor, states: Tensors
) -> None:
    """Add what a stretch contributes to the recurrent weights' gradients, as one product for each product."""
    slots = [*u.flatten(0, 1).chunk(recurrence.num_slots, dim=1), delta.flatten(0, 1)]
    for product in recurrence.products:
        state = states[product.state]
        rows = (state[1:] if product.after else state[:-1]).flatten(0, 1)
        runner.add_product(slots[product.slot], rows, grads[product.weight])


def _outputs(recurrence: Recurrence, sequence: Tensor) -> tuple[Tensor, ...]:
    """Take the outputs of a recurrence apart, ``[B, m, O H]`` to ``[B, m, H]`` each."""
    return sequence.chunk(recurrence.num_outputs, dim=2)


def _project_once(x: Tensor, operands: Operands, u: Tensor) -> None:
    """Write V x + b of a stretch in which all samples have one input into the first slots of u, ``[m, B, S W]``."""
    shared = torch.addmm(operands.bias, x[0], operands.weight_ih.t())
    u[:, :, : len(operands.bias)].copy_(shared.unsqueeze(1))


def _same_for_all(x: Tensor) -> bool:
    """Whether all samples have one input, as with noise that a batch shares: it is then projected once."""
    batch_size, _, input_size = x.shape
    if batch_size == 1 or input_size < _WORTH_A_LOOK or x.device.type != "cpu":
        return False
    # Two samples tell nearly always, and cost nearly nothing.
    return torch.equal(x[0], x[-1]) and bool((x == x[:1]).all())


def widen(operands: Operands, width: int) -> Operands:
    """Pad rows of units with zeros, which stay zeros through a scan, from H to W."""
    size = operands.state[0].shape[1]
    more = width - size
    if not more:
        return operands
    inputs = len(operands.bias) // size
    return Operands(
        operands.x,
        F.pad(operands.weight_ih.view(inputs, size, -1), (0, 0, 0, more)).flatten(0, 1),
        F.pad(operands.bias.view(inputs, size), (0, more)).flatten(),
        tuple(F.pad(part, (0, more)) for part in operands.state),
        tuple(F.pad(weight, (0, more, 0, more)) for weight in operands.weights),
        tuple(F.pad(vector, (0, more)) for vector in operands.vectors),
    )


def narrow(gradients: Gradients, size: int) -> Gradients:
    """Cut the padding off, from W to H."""
    width = gradients.state[0].shape[1]
    if width == size:
        return gradients
    inputs = len(gradients.bias) // width
    return Gradients(
        gradients.x,
        gradients.weight_ih.reshape(inputs, width, -1)[:, :size].flatten(0, 1),
        gradients.bias.view(inputs, width)[:, :size].flatten(),
        tuple(part[:, :size] for part in gradients.state),
        tuple(weight[:size, :size] for weight in gradients.weights),
        tuple(vector[:size] for vector in gradients.vectors),
    )


def split(operands: Operands, tile: slice) -> Operands:
    """Return the operands of some samples of the batch."""
    state = tuple(part[tile] for part in operands.state)
    return replace(operands, x=operands.x[tile], state=state)


def add_up(parts: Sequence[Gradients]) -> Gradients:
    """Join the gradients of the tiles of a batch, in their order: sums for weights, rows for samples."""
    inputs = [part.x for part in parts if part.x is not None]
    return Gradients(
        torch.cat(inputs) if inputs else None,
        _sum([part.weight_ih for part in parts]).contiguous(),
        _sum([part.bias for part in parts]),
        tuple(torch.cat(each) for each in zip(*(part.state for part in parts), strict=True)),
        tuple(_sum(each) for each in zip(*(part.weights for part in parts), strict=True)),
        tuple(_sum(each) for each in zip(*(part.vectors for part in parts), strict=True)),
    )


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    return functools.reduce(torch.add, tensors)

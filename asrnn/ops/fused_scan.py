"""Scan a recurrence over a sequence, forward and backward, as one differentiable function.

Both passes take the sequence in chunks of time steps that fit the processor's cache. For each chunk the forward pass
computes the input projections V x_t + b in one product, and then the steps. The backward pass goes through the chunks
in reverse, computes the gradients of the steps, and then the gradient of each weight in one product.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asrnn.ops.buffers import Buffers
from asrnn.ops.derivatives import beyond_one_gradient, gradients_by_autograd, recorded_scan
from asrnn.ops.recurrence import Operands, Recurrence, Tensors
from asrnn.ops.runner import Runner
from asrnn.ops.sums import PairwiseSum, product_over_rows
from asrnn.ops.tiles import for_each_tile, tiles_of

# Comparing the samples costs more than the projection saves with fewer inputs, and off the CPU it waits for the device.
_MIN_SHARED_INPUTS = 8


@dataclass(frozen=True, slots=True)
class FusedScan:
    """The scan of a recurrence by a runner.

    Args:
        recurrence: the recurrence.
        runner: computes the steps.
        return_sequence: return the outputs of every step too.
        max_tiles: the largest number of tiles, one per thread, to divide the batch into.
    """

    recurrence: Recurrence
    runner: Runner
    return_sequence: bool
    max_tiles: int = sys.maxsize

    def __call__(self, operands: Operands) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the scan.

        Returns:
            the outputs of every step ``[B, T, O H]``, or of none ``[B, 0, O H]``, and the state after the last step,
            ``[B, H]`` each. The O outputs of a step are the first parts of its state, side by side.
        """
        # Autocast would round single products inside; a scan is float32 or float64 throughout.
        with torch.autocast(operands.x.device.type, enabled=False):
            tensors = (operands.x.to(operands.bias.dtype), *operands.tensors()[1:])
            if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
                sequence, *last = _Differentiable.apply(self, *tensors)
            else:
                sequence, last, _ = self.forward(Operands.of(tensors, self.recurrence), keep=False)
        return sequence, tuple(last)

    def forward(
        self, operands: Operands, *, keep: bool
    ) -> tuple[Tensor, list[Tensor], list[tuple[slice, "SavedSteps"]]]:
        """Run the forward pass.

        Args:
            operands: the operands, without padding.
            keep: keep what :meth:`backward` needs.

        Returns:
            the outputs, the last state, and the saved steps of each tile of the batch.
        """
        batch_size, num_steps, _ = operands.x.shape
        size = operands.state[0].shape[1]
        wide = operands.padded(self.runner.width(size))
        # Threads outside inference mode write to it, so it must not be an inference tensor.
        with torch.inference_mode(False):
            shape = (batch_size, num_steps if self.return_sequence else 0, self.recurrence.num_outputs * size)
            sequence = operands.bias.new_empty(shape)

        def work(tile: slice) -> tuple[list[Tensor], SavedSteps]:
            return _forward_tile(self.runner, self.recurrence, wide.tile(tile), sequence[tile], keep=keep)

        tiles = tiles_of(batch_size, self.max_tiles if self.runner.tiled else 1)
        lasts, saved = zip(*for_each_tile(work, tiles), strict=True)
        last = [torch.cat([part[:, :size] for part in parts]) for parts in zip(*lasts, strict=True)]
        return sequence, last, list(zip(tiles, saved, strict=True))

    def backward(
        self,
        operands: Operands,
        saved: list[tuple[slice, "SavedSteps"]],
        sequence_grad: Tensor | None,
        last_grads: Sequence[Tensor | None],
        *,
        needs_input_grad: bool,
    ) -> Operands:
        """Run the backward pass, which overwrites the saved steps.

        Args:
            operands: the operands of the forward pass, without padding.
            saved: the saved steps of each tile.
            sequence_grad: the gradient of the outputs of every step, ``[B, T, O H]``, if there is one.
            last_grads: the gradients of the last state, ``[B, H]`` each, where there are any.
            needs_input_grad: compute the gradient of the input.

        Returns:
            the gradients of the operands.
        """
        size = operands.state[0].shape[1]
        wide = operands.padded(self.runner.width(size))
        state_grads = [torch.zeros_like(part, memory_format=torch.contiguous_format) for part in wide.state]
        for part, grad in zip(state_grads, last_grads, strict=True):
            if grad is not None:
                part[:, :size].copy_(grad)

        def work(tile_and_steps: tuple[slice, SavedSteps]) -> Operands:
            tile, steps = tile_and_steps
            tile_grads = [part[tile] for part in state_grads]
            outputs_grad = None if sequence_grad is None else sequence_grad[tile]
            grads = _backward_tile(
                self.runner, self.recurrence, wide.tile(tile), steps, tile_grads, outputs_grad, needs_input_grad
            )
            steps.buffers.give_back()
            return grads

        return _sum_tiles(for_each_tile(work, saved)).cropped(size)


class _Differentiable(torch.autograd.Function):
    """The scan with its gradient.

    A second backward pass of the same graph runs the forward pass again, because the first one overwrites the saved
    steps. A gradient that is to be differentiated itself, or a batch of gradients, is computed by autograd from
    recorded steps.
    """

    @staticmethod
    def forward(ctx: Any, scan: FusedScan, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.scan = scan
        ctx.save_for_backward(*tensors)
        sequence, last, ctx.saved_steps = scan.forward(Operands.of(tensors, scan.recurrence), keep=True)
        return (sequence, *last)

    @staticmethod
    def backward(ctx: Any, sequence_grad: Tensor | None, *last_grads: Tensor | None) -> tuple[Any, ...]:
        if beyond_one_gradient(sequence_grad, *last_grads):
            scan = functools.partial(recorded_scan, ctx.scan.recurrence, return_sequence=ctx.scan.return_sequence)
            with torch.autocast(ctx.saved_tensors[0].device.type, enabled=False):
                needed, given = ctx.needs_input_grad[1:], (sequence_grad, *last_grads)
                return (None, *gradients_by_autograd(scan, ctx.saved_tensors, needed, given))
        operands = Operands.of(ctx.saved_tensors, ctx.scan.recurrence)
        saved, ctx.saved_steps = ctx.saved_steps, None
        needs_input_grad = ctx.needs_input_grad[1]
        with torch.autocast(operands.x.device.type, enabled=False):
            if saved is None:  # a first backward pass has overwritten them
                _, _, saved = ctx.scan.forward(operands, keep=True)
            grads = ctx.scan.backward(operands, saved, sequence_grad, last_grads, needs_input_grad=needs_input_grad)
        input_grad, *others = grads.tensors()
        return (None, input_grad if needs_input_grad else None, *others)


class SavedSteps:
    """The buffers of a scan: u of all steps, ``[T, B, S W]`` in S slots, and the states, ``[T + 1, B, W]`` each.

    Without a backward pass to come, one chunk of both is enough and is overwritten by the next chunk. A runner that can
    replay the steps of a chunk needs one chunk of states too, and the first state of every chunk, ``[B, W]`` each.
    """

    def __init__(self, runner: Runner, recurrence: Recurrence, operands: Operands, *, keep: bool) -> None:
        num_steps, state = operands.x.shape[1], operands.state[0]
        self.length = runner.chunk_length(state, num_steps)
        self.replay = runner.replay(recurrence, operands.vectors) if keep else None
        self.keep, self.keep_states = keep, keep and self.replay is None
        self.buffers = Buffers(state.dtype, state.device)
        batch_size, width = state.shape
        self.u = self.buffers.take(num_steps if keep else self.length, batch_size, recurrence.num_slots * width)
        rows = (num_steps if self.keep_states else self.length) + 1
        self.states = [self.buffers.take(rows, batch_size, width) for _ in operands.state]
        num_chunks = -(-num_steps // self.length) if self.replay else 0
        self.first_states = [self.buffers.take(num_chunks, batch_size, width) for _ in operands.state]

    def chunk(self, steps: slice) -> tuple[Tensor, list[Tensor]]:
        """Return u of m steps, ``[m, B, S W]``, and the states before, between and after them, ``[m + 1, B, W]``."""
        number = steps.stop - steps.start
        first, before = steps.start if self.keep else 0, steps.start if self.keep_states else 0
        return self.u[first : first + number], [part[before : before + number + 1] for part in self.states]

    def begin(self, steps: slice, state: Sequence[Tensor]) -> None:
        """Set the state before a chunk."""
        _, states = self.chunk(steps)
        for part, value in zip(states, state, strict=True):
            part[0].copy_(value)
        if self.replay:
            for first, value in zip(self.first_states, state, strict=True):
                first[steps.start // self.length].copy_(value)

    def restore(self, steps: slice) -> tuple[Tensor, list[Tensor]]:
        """Return a chunk as the forward pass left it."""
        u, states = self.chunk(steps)
        if self.replay:
            for part, first in zip(states, self.first_states, strict=True):
                part[0].copy_(first[steps.start // self.length])
            self.replay(u, states)
        return u, states


def _forward_tile(
    runner: Runner, recurrence: Recurrence, operands: Operands, sequence: Tensor, *, keep: bool
) -> tuple[list[Tensor], SavedSteps]:
    """Run the forward pass of a tile, write the outputs into ``sequence``, and return the last state ``[B, W]`` each.

    ``sequence`` is ``[B, T, O H]``, or ``[B, 0, O H]`` where no outputs are wanted.
    """
    saved = SavedSteps(runner, recurrence, operands, keep=keep)
    run, project = runner.forward(recurrence, operands.weights, operands.vectors), runner.project(operands)
    last = list(operands.state)
    for steps in _chunks(operands.x.shape[1], saved.length):
        saved.begin(steps, last)
        u, states = saved.chunk(steps)
        x = operands.x[:, steps]
        if _samples_are_equal(x):
            _project_once(x, operands, u)
        else:
            project(x, u)
        run(u, states)
        last = [part[-1] for part in states]
        if sequence.shape[1]:
            for output, part in zip(_outputs(recurrence, sequence[:, steps]), states, strict=False):
                output.copy_(part[1:, :, : output.shape[2]].transpose(0, 1))
    return [part.clone() for part in last], saved


def _backward_tile(
    runner: Runner,
    recurrence: Recurrence,
    operands: Operands,
    saved: SavedSteps,
    state_grads: list[Tensor],
    sequence_grad: Tensor | None,
    needs_input_grad: bool,
) -> Operands:
    """Run the backward pass of a tile, and return the gradients of its operands.

    ``state_grads``, ``[B, W]`` each, hold the gradients of the last state, and then of the first.
    """
    x, weight_ih = operands.x, operands.weight_ih
    batch_size, width = operands.state[0].shape
    run = runner.backward(recurrence, operands.weights, operands.vectors)
    scratch = Buffers(weight_ih.dtype, weight_ih.device)
    product_grad = scratch.take(saved.length, batch_size, width if recurrence.has_product_grad() else 0)
    outputs = range(0 if sequence_grad is None else recurrence.num_outputs)
    output_grads = [scratch.take(saved.length, batch_size, width).zero_() for _ in outputs]
    # The last column is 1, so that the gradient of the bias is one more row of the gradient of V.
    inputs = scratch.take(saved.length, batch_size, x.shape[2] + 1)
    inputs[:, :, -1] = 1
    input_grad = torch.empty_like(x if needs_input_grad else x[:, :0], memory_format=torch.contiguous_format)
    weight_grads = tuple(torch.zeros_like(weight, memory_format=torch.contiguous_format) for weight in operands.weights)
    vector_sums, input_weight_sum = [PairwiseSum() for _ in operands.vectors], PairwiseSum()
    for steps in reversed(_chunks(x.shape[1], saved.length)):
        u, states = saved.restore(steps)
        chunk_product_grad = product_grad[: len(u)]
        if sequence_grad is not None:
            for part, given in zip(output_grads, _outputs(recurrence, sequence_grad[:, steps]), strict=True):
                part[: len(u), :, : given.shape[2]].copy_(given.transpose(0, 1))
        vector_grads = [torch.zeros_like(vector) for vector in operands.vectors]
        run(u, states, state_grads, chunk_product_grad, output_grads, vector_grads)
        for vector_sum, grad in zip(vector_sums, vector_grads, strict=True):
            vector_sum.add(grad)
        _add_weight_grads(runner, recurrence, weight_grads, u, chunk_product_grad, states)
        projection_grad = u[:, :, : len(operands.bias)]
        input_weight_sum.add(_input_weight_grads(runner, x[:, steps], inputs[: len(u)], projection_grad))
        if needs_input_grad:
            rows = projection_grad.flatten(0, 1) @ weight_ih
            input_grad[:, steps].copy_(rows.view(*u.shape[:2], -1).transpose(0, 1))
    scratch.give_back()
    input_weight_grads = input_weight_sum.total()
    return Operands(
        x=input_grad,
        weight_ih=input_weight_grads[:-1].t(),
        bias=input_weight_grads[-1],
        state=tuple(state_grads),
        weights=weight_grads,
        vectors=tuple(vector_sum.total() for vector_sum in vector_sums),
    )


def _sum_tiles(tiles: Sequence[Operands]) -> Operands:
    """Join the gradients of the tiles of a batch in their order: concatenate samples, sum everything else."""

    def add(tensors: Sequence[Tensor]) -> Tensor:
        return functools.reduce(torch.add, tensors)

    return Operands(
        torch.cat([tile.x for tile in tiles]),
        add([tile.weight_ih for tile in tiles]).contiguous(),
        add([tile.bias for tile in tiles]),
        tuple(torch.cat(parts) for parts in zip(*(tile.state for tile in tiles), strict=True)),
        tuple(add(parts) for parts in zip(*(tile.weights for tile in tiles), strict=True)),
        tuple(add(parts) for parts in zip(*(tile.vectors for tile in tiles), strict=True)),
    )


def _input_weight_grads(runner: Runner, x: Tensor, inputs: Tensor, projection_grad: Tensor) -> Tensor:
    """Return :meth:`Runner.input_weight_grads`, from one smaller product where all samples have the same input."""
    if _samples_are_equal(x):
        inputs, projection_grad = inputs[:, 0], projection_grad.sum(1)
        inputs[:, :-1].copy_(x[0])
        return product_over_rows(inputs, projection_grad)
    return runner.input_weight_grads(x, inputs, projection_grad)


def _add_weight_grads(
    runner: Runner, recurrence: Recurrence, grads: Tensors, u: Tensor, product_grad: Tensor, states: Tensors
) -> None:
    """Add a chunk's contribution to the gradients of the recurrent weights, with one product for each product."""
    slots = [*u.flatten(0, 1).chunk(recurrence.num_slots, dim=1), product_grad.flatten(0, 1)]
    for product in recurrence.products:
        state = states[product.state]
        rows = (state[1:] if product.after else state[:-1]).flatten(0, 1)
        runner.add_product(slots[product.slot], rows, grads[product.weight])


def _outputs(recurrence: Recurrence, sequence: Tensor) -> tuple[Tensor, ...]:
    """Split the outputs of m steps, ``[B, m, O H]``, into ``[B, m, H]`` each."""
    return sequence.chunk(recurrence.num_outputs, dim=2)


def _project_once(x: Tensor, operands: Operands, u: Tensor) -> None:
    """Write V x + b into the first slots of u, ``[m, B, S W]``, for m steps in which all samples have one input."""
    projected = torch.addmm(operands.bias, x[0], operands.weight_ih.t())
    u[:, :, : len(operands.bias)].copy_(projected.unsqueeze(1))


def _samples_are_equal(x: Tensor) -> bool:
    """Return whether all samples have the same input, as with noise that a batch shares."""
    batch_size, _, input_size = x.shape
    if batch_size == 1 or input_size < _MIN_SHARED_INPUTS or x.device.type != "cpu":
        return False
    # Two samples nearly always differ if any do, and comparing only those costs nearly nothing.
    return torch.equal(x[0], x[-1]) and bool((x == x[:1]).all())


def _chunks(num_steps: int, length: int) -> list[slice]:
    """Divide a sequence into chunks of the given length; the last one may be shorter."""
    return [slice(start, min(start + length, num_steps)) for start in range(0, num_steps, length)]

"""Fused scans as a differentiable function: what a cell calls in place of its loop."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from asrnn.ops.derivatives import beyond_one_gradient, gradients_by_autograd
from asrnn.ops.driver import Gradients, add_up, narrow, scan_backward, scan_forward, split, widen
from asrnn.ops.operands import Operands
from asrnn.ops.recorded import recorded_scan
from asrnn.ops.recurrence import Recurrence
from asrnn.ops.runner import Runner
from asrnn.ops.tiles import for_each_tile, tiles_of
from asrnn.ops.trace import Trace

Traces = list[tuple[slice, Trace]]


@dataclass(frozen=True, slots=True)
class FusedScan:
    """A scan of a recurrence, taken by a runner.

    Args:
        recurrence: what a step is.
        runner: what takes the steps.
        return_sequence: return the outputs of every step too, its first states side by side.
        most_tiles: cut the batch into so many tiles at most, one a thread.
    """

    recurrence: Recurrence
    runner: Runner
    return_sequence: bool
    most_tiles: int = sys.maxsize

    def __call__(self, operands: Operands) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run it.

        Returns:
            the outputs of every step ``[B, T, O H]``, or of none ``[B, 0, O H]``, and the state after the last.
        """
        # Under autocast single products inside would be rounded; a scan is float32 or float64 throughout.
        with torch.autocast(operands.x.device.type, enabled=False):
            tensors = (operands.x.to(operands.bias.dtype), *operands.tensors()[1:])
            if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
                sequence, *last = _Differentiable.apply(self, *tensors)
            else:
                sequence, last, _ = self.run(Operands.of(tensors, self.recurrence), keep=False)
        return sequence, tuple(last)

    def run(self, operands: Operands, *, keep: bool) -> tuple[Tensor, list[Tensor], Traces]:
        """Return the sequence, the last state, and the traces of the tiles where a backward needs them."""
        batch_size, num_steps, _ = operands.x.shape
        size = operands.state[0].shape[1]
        wide = widen(operands, self.runner.width(size))
        # Not an inference tensor, because threads that are not in inference mode write to it.
        with torch.inference_mode(False):
            shape = (batch_size, num_steps if self.return_sequence else 0, self.recurrence.num_outputs * size)
            sequence = operands.bias.new_empty(shape)

        def work(tile: slice) -> tuple[list[Tensor], Trace]:
            return scan_forward(self.runner, self.recurrence, split(wide, tile), sequence[tile], keep=keep)

        tiles = tiles_of(batch_size, self.most_tiles if self.runner.tiled else 1)
        lasts, traces = zip(*for_each_tile(work, tiles), strict=True)
        last = [torch.cat([part[:, :size] for part in parts]) for parts in zip(*lasts, strict=True)]
        return sequence, last, list(zip(tiles, traces, strict=True))

    def back(
        self,
        operands: Operands,
        traces: Traces,
        grad_sequence: Tensor | None,
        grads: Sequence[Tensor | None],
        *,
        towards_x: bool,
    ) -> Gradients:
        """Return the gradients towards the operands, which were not widened; the traces are spent thereby."""
        size = operands.state[0].shape[1]
        wide = widen(operands, self.runner.width(size))
        running = [torch.zeros_like(part, memory_format=torch.contiguous_format) for part in wide.state]
        for part, grad in zip(running, grads, strict=True):
            if grad is not None:
                part[:, :size].copy_(grad)

        def work(tile_and_trace: tuple[slice, Trace]) -> Gradients:
            tile, trace = tile_and_trace
            more = None if grad_sequence is None else grad_sequence[tile]
            own = [part[tile] for part in running]
            found = scan_backward(
                self.runner, self.recurrence, split(wide, tile), trace, own, more, towards_x=towards_x
            )
            trace.lease.end()
            return found

        return narrow(add_up(for_each_tile(work, traces)), size)


class _Differentiable(torch.autograd.Function):
    """The scan with its gradient, which a second backward of the same graph computes from the operands anew.

    A gradient that is to be differentiated itself, or that is one of a batch, is that of recorded steps.
    """

    @staticmethod
    def forward(ctx: Any, scan: FusedScan, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.scan = scan
        ctx.save_for_backward(*tensors)
        sequence, last, ctx.traces = scan.run(Operands.of(tensors, scan.recurrence), keep=True)
        return (sequence, *last)

    @staticmethod
    def backward(ctx: Any, grad_sequence: Tensor | None, *grads: Tensor | None) -> tuple[Any, ...]:
        if beyond_one_gradient(grad_sequence, *grads):
            steps = partial(recorded_scan, ctx.scan.recurrence, return_sequence=ctx.scan.return_sequence)
            with torch.autocast(ctx.saved_tensors[0].device.type, enabled=False):
                needed = ctx.needs_input_grad[1:]
                return (None, *gradients_by_autograd(steps, ctx.saved_tensors, needed, (grad_sequence, *grads)))
        operands = Operands.of(ctx.saved_tensors, ctx.scan.recurrence)
        traces, ctx.traces = ctx.traces, None
        with torch.autocast(operands.x.device.type, enabled=False):
            if traces is None:  # a first backward has written over them
                _, _, traces = ctx.scan.run(operands, keep=True)
            found = ctx.scan.back(operands, traces, grad_sequence, grads, towards_x=ctx.needs_input_grad[1])
        return (None, *found.tensors())

"""Test a runner once per process: a small scan and its gradients, compared with the same scan in float64."""

import functools

import torch
from torch import Tensor

from asrnn.ops.fused_scan import FusedScan
from asrnn.ops.recurrence import Operands, Recurrence
from asrnn.ops.runner import Runner, StepRunner

_NUM_STEPS, _INPUT_SIZE = 9, 3
_MAX_TILES = 2  # so that each thread's tile has enough samples


@functools.cache
def first_run_error(runner: Runner, recurrence: type[Recurrence], hidden_size: int, device: torch.device) -> str | None:
    """Return why a runner must not be used, in a sentence, or None if its first run was right.

    Args:
        runner: the runner to test.
        recurrence: the recurrence to run.
        hidden_size: the hidden size H.
        device: the device to run on.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():
            error = _largest_error(runner, recurrence, hidden_size, device)
    except Exception as failure:  # of a compiler, a driver or a kernel; another runner replaces this one
        reason = f"{type(failure).__name__}: {' '.join(str(failure).split())[:300]}"
    else:
        if error <= runner.tolerance:
            return None
        reason = f"its numbers are off by {error:.1e}, more than {runner.tolerance:.0e}"
    return f"in a first run of {recurrence.__name__} with {hidden_size} units on {device}: {reason}"


def _largest_error(runner: Runner, recurrence: type[Recurrence], hidden_size: int, device: torch.device) -> float:
    """Return the largest relative error of an output or gradient, by norms, against float64. NaN counts as infinity."""
    generator = torch.Generator().manual_seed(20190218)

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device) * scale

    inputs, batch_size = recurrence.num_inputs * hidden_size, runner.first_batch * (_MAX_TILES if runner.tiled else 1)
    operands = [draw(batch_size, _NUM_STEPS, _INPUT_SIZE), draw(inputs, _INPUT_SIZE), draw(inputs)]
    operands += [draw(batch_size, hidden_size) for _ in range(recurrence.num_states)]
    for _ in range(recurrence.num_weights()):
        weight = draw(hidden_size, hidden_size, scale=hidden_size**-0.5)
        operands.append(runner.rounded_weight(weight).double())
    operands += [draw(hidden_size, scale=0.5) for _ in range(recurrence.num_vectors)]
    output_grads = [draw(batch_size, _NUM_STEPS, recurrence.num_outputs * hidden_size)]
    output_grads += [draw(batch_size, hidden_size) for _ in range(recurrence.num_states)]

    def run(runner: Runner, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
        scan = FusedScan(recurrence(*recurrence.first_scalars), runner, return_sequence=True, max_tiles=_MAX_TILES)
        leaves = [tensor.to(device, dtype).requires_grad_() for tensor in operands]
        sequence, last = scan(Operands.of(leaves, scan.recurrence))
        outputs = [sequence, *last]
        grads = torch.autograd.grad(outputs, leaves, [tensor.to(device, dtype) for tensor in output_grads])
        return [tensor.detach().to("cpu", torch.float64) for tensor in (*outputs, *grads)]

    expected = run(StepRunner(), torch.float64, torch.device("cpu"))
    found = run(runner, torch.float32, device)
    # The gradient of a tensor without influence is 0, and so is the error of such a gradient.
    errors = [(a - b).norm() / (b.norm() if b.any() else 1) for a, b in zip(found, expected, strict=True)]
    return float(torch.stack(errors).nan_to_num(torch.inf).max())

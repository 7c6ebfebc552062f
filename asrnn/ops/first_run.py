"""The first run of a runner: a small scan and its gradients, against the same scan in float64."""

import functools

import torch
from torch import Tensor

from asrnn.ops.operands import Operands
from asrnn.ops.recurrence import Recurrence
from asrnn.ops.runner import Runner, StepRunner
from asrnn.ops.scan import FusedScan

_NUM_STEPS, _INPUT_SIZE = 9, 3
_MOST_TILES = 2  # so that the tile of each thread has samples enough


@functools.cache
def distrust(runner: Runner, recurrence: type[Recurrence], hidden_size: int, device: torch.device) -> str | None:
    """Say in a sentence why a runner must not be used, after one first run a process, or None."""
    try:
        with torch.inference_mode(False), torch.enable_grad():
            error = _largest_error(runner, recurrence, hidden_size, device)
    except Exception as failure:  # a compiler, a driver, a kernel: whatever it is, another runner takes over
        reason = f"{type(failure).__name__}: {' '.join(str(failure).split())[:300]}"
    else:
        if error <= runner.tolerance:
            return None
        reason = f"its numbers are off by {error:.1e}, more than {runner.tolerance:.0e}"
    return f"in a first run of {recurrence.__name__} with {hidden_size} units on {device}: {reason}"


def _largest_error(runner: Runner, recurrence: type[Recurrence], hidden_size: int, device: torch.device) -> float:
    """Return the largest error of an output or gradient, by norms, relative to the one in float64; nan is inf."""
    generator = torch.Generator().manual_seed(20190218)

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device) * scale

    inputs, batch_size = recurrence.num_inputs * hidden_size, runner.first_batch * (_MOST_TILES if runner.tiled else 1)
    operands = [draw(batch_size, _NUM_STEPS, _INPUT_SIZE), draw(inputs, _INPUT_SIZE), draw(inputs)]
    operands += [draw(batch_size, hidden_size) for _ in range(recurrence.num_states)]
    for _ in range(recurrence.num_weights()):
        weight = draw(hidden_size, hidden_size, scale=hidden_size**-0.5)
        operands.append(runner.as_kept(weight).double())
    operands += [draw(hidden_size, scale=0.5) for _ in range(recurrence.num_vectors)]
    towards = [draw(batch_size, _NUM_STEPS, recurrence.num_outputs * hidden_size)]
    towards += [draw(batch_size, hidden_size) for _ in range(recurrence.num_states)]

    def run(runner: Runner, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
        scan = FusedScan(recurrence(*recurrence.first_scalars), runner, return_sequence=True, most_tiles=_MOST_TILES)
        leaves = [tensor.to(device, dtype).requires_grad_() for tensor in operands]
        sequence, last = scan(Operands.of(leaves, scan.recurrence))
        outputs = [sequence, *last]
        grads = torch.autograd.grad(outputs, leaves, [tensor.to(device, dtype) for tensor in towards])
        return [tensor.detach().to("cpu", torch.float64) for tensor in (*outputs, *grads)]

    expected = run(StepRunner(), torch.float64, torch.device("cpu"))
    found = run(runner, torch.float32, device)
    # What nothing reaches has a gradient of 0.
    errors = [(a - b).norm() / (b.norm() if b.any() else 1) for a, b in zip(found, expected, strict=True)]
    return float(torch.stack(errors).nan_to_num(torch.inf).max())

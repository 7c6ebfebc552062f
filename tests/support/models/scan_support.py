"""Scans to compare: random cells and inputs, the fold of ``step``, and every gradient of a run."""

import pytest
import torch
from torch import Tensor

from asrnn import RecurrentCell, load_model
from asrnn.cells.parts.complex_cell import ComplexCell
from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.modrelu import ModReLUCell
from asrnn.cells.parts.parallel import ParallelCell
from asrnn.cells.rnn import RNN
from asrnn.compiling import compiler
from asrnn.ops.compiled import compiled_runner
from asrnn.ops.recurrence import Recurrence
from asrnn.registry import ModelSource, model_sources

SOURCES: dict[str, ModelSource] = {source.name: source for source in model_sources() if source.origin == "built-in"}
FUSED = [name for name, source in SOURCES.items() if issubclass(load_model(source), FusedCell)]
PARALLEL = [name for name, source in SOURCES.items() if issubclass(load_model(source), ParallelCell)]


def random_cell(name: str, input_size: int, hidden_size: int, dtype=torch.float64) -> RecurrentCell:
    """A cell with biases and with steps that are large enough to matter."""
    torch.manual_seed(10)  # of buffers, and of what keeps its start
    cell = load_model(SOURCES[name])(input_size, hidden_size).to(dtype)
    if hasattr(cell, "epsilon"):
        cell.epsilon = 0.4
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter_name, parameter in cell.named_parameters():
            if parameter_name.startswith("factors"):
                continue  # as large as they start, or their product grows beyond all numbers in 70 steps
            # Above 0, a bias of modReLU makes a jump at 0, around which a rounding becomes as large as the bias.
            scale = -0.05 if parameter_name == "bias" and isinstance(cell, ModReLUCell | ComplexCell) else 0.7
            if parameter_name == "layer.weight_hh_l0" and isinstance(cell, RNN):
                scale /= hidden_size**0.5  # with a larger W it is chaotic, and enlarges a rounding 10^6 times
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(scale * (values if scale > 0 else values.abs()))
    return cell


def random_run(cell: RecurrentCell, batch_size: int, num_steps: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """An input and a state before the first step, which need gradients."""
    generator = torch.Generator().manual_seed(12)
    like = next(cell.parameters())

    def draw(*shape: int) -> Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        return values.to(like.dtype).requires_grad_()

    state = tuple(draw(*part.shape) for part in cell.initial_state(batch_size))
    return draw(batch_size, num_steps, cell.input_size), state


def fold(cell: RecurrentCell, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What a scan is, by its definition: the fold of ``step``."""
    outputs = []
    for x_t in x.unbind(1):
        state = cell.step(cell.project(x_t), state)
        outputs.append(cell.output(state))
    return torch.stack(outputs, 1), state


def assert_scanned_as_stepped(cell: RecurrentCell, backend: str) -> None:
    """Check that both scans give the fold of ``step``, and that the cell names the back end that ran them."""
    exact = {"rtol": 1e-12, "atol": 1e-12}  # float64; five steps of sums of at most 16 products, in another order
    cell = cell.double()
    x = torch.randn(2, 5, cell.input_size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected, state = fold(cell, x, cell.initial_state(2))
    sequence, last_state = cell.scan(x, return_sequence=True)
    torch.testing.assert_close(sequence, expected, **exact)
    torch.testing.assert_close(last_state, state, **exact)
    torch.testing.assert_close(cell.scan(x)[0], expected[:, -1], **exact)
    assert cell.scan_backend == backend


def gradients(cell: RecurrentCell, x, state, outputs, final, **keywords) -> tuple[Tensor, ...]:
    """The gradients of a random sum of all outputs, towards the input, the state and every parameter.

    They are zeros towards a learnt initial state where another state was given.
    """
    generator = torch.Generator().manual_seed(13)
    loss = sum(
        (torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * tensor).sum()
        for tensor in (outputs, *final)
    )
    inputs = [x, *state, *cell.parameters()]
    return torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True, **keywords)


def run(cell: RecurrentCell, x, state, **keywords) -> tuple[Tensor, ...]:
    """The gradients of a scan."""
    outputs, final = cell.scan(x, state, return_sequence=True)
    return gradients(cell, x, state, outputs, final, **keywords)


def equal(some, others) -> bool:
    """Whether all tensors are equal, to the bit."""
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def every_recurrence() -> list[type[Recurrence]]:
    """The recurrences of all fused cells, and those that only some of their settings have."""
    found, new = set(), [Recurrence]
    while new:
        new = [each for parent in new for each in parent.__subclasses__()]
        found |= {each for each in new if each.__module__.startswith("asrnn.") and not each.__abstractmethods__}
    return sorted(found, key=lambda recurrence: recurrence.__name__)


def backends_of(name: str) -> list[str]:
    """What can run a fused cell here: the compiled steps too, where there is a compiler, which must then not fail."""
    words, _ = compiler()
    if not words:
        return ["fused"]
    runner = compiled_runner(type(random_cell(name, 1, 1).recurrence()))
    assert not isinstance(runner, str), runner
    return ["fused", "compiled"]


def needs_compiler(name: str) -> None:
    """Skip a test of the compiled steps where there is no compiler, with the reason."""
    if "compiled" not in backends_of(name):
        pytest.skip(compiler()[1])


def backend_used(cell: RecurrentCell, dtype: torch.dtype = torch.float32) -> str:
    """Run a short scan, and return the back end that ran it."""
    cell.to(dtype).scan(torch.zeros(2, 3, 1, dtype=dtype))
    return cell.scan_backend

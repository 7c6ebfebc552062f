"""Random cells and inputs, scans step by step, and all gradients of a scan, for tests that compare scans."""

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
    """Return a cell with random parameters that are large enough for every term to matter."""
    torch.manual_seed(10)  # for buffers, and for parameters that keep their initial values
    cell = load_model(SOURCES[name])(input_size, hidden_size).to(dtype)
    if hasattr(cell, "epsilon"):
        cell.epsilon = 0.4
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter_name, parameter in cell.named_parameters():
            if parameter_name.startswith("factors"):
                continue  # larger factors would make the state overflow within 70 steps
            # A positive bias of modReLU makes a jump at 0, where a rounding error becomes as large as the bias.
            scale = -0.05 if parameter_name == "bias" and isinstance(cell, ModReLUCell | ComplexCell) else 0.7
            if parameter_name == "layer.weight_hh_l0" and isinstance(cell, RNN):
                scale /= hidden_size**0.5  # a larger W would be chaotic and enlarge a rounding error 10^6 times
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(scale * (values if scale > 0 else values.abs()))
    return cell


def random_run(cell: RecurrentCell, batch_size: int, num_steps: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return an input and an initial state that need gradients."""
    generator = torch.Generator().manual_seed(12)
    like = next(cell.parameters())

    def draw(*shape: int) -> Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        return values.to(like.dtype).requires_grad_()

    state = tuple(draw(*part.shape) for part in cell.initial_state(batch_size))
    return draw(batch_size, num_steps, cell.input_size), state


def fold(cell: RecurrentCell, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Scan step by step, which is the definition of a scan, and return the outputs and the last state."""
    outputs = []
    for x_t in x.unbind(1):
        state = cell.step(cell.project(x_t), state)
        outputs.append(cell.output(state))
    return torch.stack(outputs, 1), state


def assert_scanned_as_stepped(cell: RecurrentCell, backend: str) -> None:
    """Check that scans with and without outputs equal ``step`` in a loop, and that ``backend`` ran them."""
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
    """Return the gradients of the input, the state and every parameter, for a random weighted sum of all outputs.

    A learned initial state has the gradient 0 where another state was given.
    """
    generator = torch.Generator().manual_seed(13)
    loss = sum(
        (torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * tensor).sum()
        for tensor in (outputs, *final)
    )
    inputs = [x, *state, *cell.parameters()]
    return torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True, **keywords)


def run(cell: RecurrentCell, x, state, **keywords) -> tuple[Tensor, ...]:
    """Run a scan, and return its gradients."""
    outputs, final = cell.scan(x, state, return_sequence=True)
    return gradients(cell, x, state, outputs, final, **keywords)


def equal(some, others) -> bool:
    """Return whether all tensors are equal bit by bit."""
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def every_recurrence() -> list[type[Recurrence]]:
    """Return the recurrences of all fused cells, including those that only some hyper-parameters use."""
    found, new = set(), [Recurrence]
    while new:
        new = [each for parent in new for each in parent.__subclasses__()]
        found |= {each for each in new if each.__module__.startswith("asrnn.") and not each.__abstractmethods__}
    return sorted(found, key=lambda recurrence: recurrence.__name__)


def backends_of(name: str) -> list[str]:
    """Return the back ends that can run a fused cell here. Where there is a compiler, it must not fail."""
    words, _ = compiler()
    if not words:
        return ["fused"]
    runner = compiled_runner(type(random_cell(name, 1, 1).recurrence()))
    assert not isinstance(runner, str), runner
    return ["fused", "compiled"]


def needs_compiler(name: str) -> None:
    """Skip the test where there is no C compiler."""
    if "compiled" not in backends_of(name):
        pytest.skip(compiler()[1])


def backend_used(cell: RecurrentCell, dtype: torch.dtype = torch.float32) -> str:
    """Run a short scan, and return the back end that ran it."""
    cell.to(dtype).scan(torch.zeros(2, 3, 1, dtype=dtype))
    return cell.scan_backend

"""Models as they are trained: a cell, or any recurrent module, with a linear readout on its last state."""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor, nn

from asrnn.cells import RecurrentCell
from asrnn.errors import ModelError
from asrnn.registry import ModelSource, find_model, load_model
from asrnn.shapes import check_sequence, positive_size

Model = str | type[nn.Module] | ModelSource
"""A model as users name it: whatever ``find_model`` takes, a class, or what ``find_model`` returned."""


class RecurrentModel(nn.Module):
    """A recurrent module and a linear readout of its last state, ``[B, T, I]`` to ``[B, num_outputs]``.

    The readout starts as :class:`torch.nn.Linear` does; the paper does not say how its own did.

    Args:
        recurrence: a :class:`RecurrentCell`, or any module that maps ``[B, T, I]`` to the states
            ``[B, T, H]``, to the last state ``[B, H]``, or to a tuple whose first item is one of these, as
            ``torch.nn.LSTM`` with ``batch_first=True`` does.
        input_size: I.
        hidden_size: H.
        num_outputs: the number of values read out; C for a classifier.
    """

    def __init__(self, recurrence: nn.Module, *, input_size: int, hidden_size: int, num_outputs: int) -> None:
        super().__init__()
        self.input_size = positive_size("input_size", input_size)
        self.hidden_size = positive_size("hidden_size", hidden_size)
        self.recurrence = recurrence
        self.output_size = recurrence.output_size if isinstance(recurrence, RecurrentCell) else hidden_size
        self.readout = nn.Linear(self.output_size, positive_size("num_outputs", num_outputs))

    @property
    def scan_backend(self) -> str:
        """What runs the recurrence: :attr:`RecurrentCell.scan_backend`, or ``module`` for another module."""
        return self.recurrence.scan_backend if isinstance(self.recurrence, RecurrentCell) else "module"

    def forward(self, x: Tensor) -> Tensor:
        """Read out the last state, ``[B, T, I]`` to ``[B, num_outputs]``.

        Raises:
            ModelError: the input, or what the recurrent module returns, has a wrong shape.
        """
        check_sequence(x, self.input_size)
        output = self.recurrence.scan(x) if isinstance(self.recurrence, RecurrentCell) else self.recurrence(x)
        readout: Tensor = self.readout(self._last_state(output, x.shape[0], x.shape[1]))
        return readout

    def num_parameters(self) -> int:
        """Count the degrees of freedom that are learnt, the readout's included."""
        return self.num_recurrent_parameters() + _num_elements(self.readout)

    def num_recurrent_parameters(self) -> int:
        """Count the degrees of freedom that are learnt, the readout's left out."""
        if isinstance(self.recurrence, RecurrentCell):
            return self.recurrence.num_parameters()
        return _num_elements(self.recurrence)

    def _last_state(self, output: object, batch_size: int, num_steps: int) -> Tensor:
        first = output[0] if isinstance(output, tuple | list) and output else output
        last, sequence = (batch_size, self.output_size), (batch_size, num_steps, self.output_size)
        if isinstance(first, Tensor) and first.shape == last:
            return first
        if isinstance(first, Tensor) and first.shape == sequence:
            return first[:, -1]
        found = str(list(first.shape)) if isinstance(first, Tensor) else f"a {type(first).__name__}"
        raise ModelError(
            f"{type(self.recurrence).__name__} must return [B, T, H] = {list(sequence)}, "
            f"[B, H] = {list(last)}, or a tuple that begins with one of these; found {found}"
        )


def build_cell(model: Model, input_size: int, hidden_size: int, **hyper: object) -> RecurrentCell:
    """Build a cell by its registered name, with the hyper-parameters under the names of its paper.

    Raises:
        ModelError: it cannot be built, or is a module that is no :class:`RecurrentCell`.
        UsageError: it is not to be found under this name.
    """
    cell = _construct(_model_class(model), input_size, hidden_size, hyper)
    if not isinstance(cell, RecurrentCell):
        raise ModelError(f"{type(cell).__name__} is not a RecurrentCell: use build_model")
    return cell


def build_model(
    model: Model,
    *,
    input_size: int,
    hidden_size: int,
    num_outputs: int,
    seed: int | None = None,
    **hyper: object,
) -> RecurrentModel:
    """Build a model, ``[B, T, I]`` to ``[B, num_outputs]``, and try it once on a small input.

    Args:
        model: a registered name, ``FILE.py:Class``, ``package.module:Class``, a class, or a found source.
        input_size: I.
        hidden_size: H.
        num_outputs: the number of values read out; C for a classifier.
        seed: of the initialisation, which then neither reads nor changes torch's global generator.
        hyper: hyper-parameters of the model, under its own names.

    Raises:
        ModelError: it cannot be imported or built, or returns a wrong shape.
        UsageError: it is not to be found under this name.
    """
    model_class = _model_class(model)
    with _initialization(seed):
        recurrence = _construct(model_class, input_size, hidden_size, hyper)
        built = RecurrentModel(recurrence, input_size=input_size, hidden_size=hidden_size, num_outputs=num_outputs)
    _probe(built)
    return built


def _model_class(model: Model) -> type[nn.Module]:
    if isinstance(model, str):
        model = find_model(model)
    if isinstance(model, ModelSource):
        return load_model(model)
    if isinstance(model, type) and issubclass(model, nn.Module):
        return model
    raise ModelError(f"a model is a name or a class derived from torch.nn.Module, not {model!r}")


def _construct(model_class: type[nn.Module], input_size: int, hidden_size: int, hyper: dict[str, object]) -> nn.Module:
    """Call a model's constructor, whose failures become one line."""
    positive_size("input_size", input_size)
    positive_size("hidden_size", hidden_size)
    accepted, takes_others = _keywords(model_class)
    own = sorted(accepted - {"input_size", "hidden_size", "batch_first"})
    for name in hyper:
        if name not in own and not takes_others:
            near = get_close_matches(name, own, n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ";"
            there = ", ".join(own) or "none"
            raise ModelError(f"{model_class.__name__} has no hyper-parameter '{name}'{hint} it has: {there}")
    keywords = {"batch_first": True} | hyper if "batch_first" in accepted else hyper
    try:
        return model_class(input_size, hidden_size, **keywords)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{model_class.__name__}({input_size}, {hidden_size}) failed: {_one_line(error, model_class)}"
        ) from error


def _keywords(model_class: type[nn.Module]) -> tuple[set[str], bool]:
    """Collect the constructor's keywords, through the ``**kwargs`` that it hands on to its bases.

    Returns:
        the names, and whether other names may be meant for ``**kwargs`` too.
    """
    names: set[str] = set()
    for base in inspect.getmro(model_class):
        if base is nn.Module:
            return names, True  # the last **kwargs was not handed on to any named keyword
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names, False


@contextmanager
def _initialization(seed: int | None) -> Iterator[None]:
    """Draw from a generator of its own where there is a seed, from the global one where there is none."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs' generators too
        yield


@torch.no_grad()
def _probe(model: RecurrentModel) -> None:
    """Run a model on a sequence [2, 3, I] of zeros, and leave no trace on it or on the generator."""
    like = model.readout.weight
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    model.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            model(like.new_zeros(2, 3, model.input_size))
    except ModelError:
        raise
    except Exception as error:
        name = type(model.recurrence).__name__
        raise ModelError(
            f"{name} failed on an input [2, 3, {model.input_size}]: {_one_line(error, type(model.recurrence))}"
        ) from error
    finally:
        for module, training in modes:
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)


def _num_elements(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _one_line(error: Exception, model_class: type[nn.Module]) -> str:
    """Say what went wrong, and on which line of the model's own file it did."""
    own, line, trace = sys.modules[model_class.__module__].__dict__.get("__file__"), None, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == own else line
        trace = trace.tb_next
    where = f" (line {line} of {Path(own).name})" if own and line else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"

"""Models as they are trained: a cell, any recurrent module, or a stack of these, with a linear readout."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

import torch
from torch import Tensor, nn

from asrnn.cells import RecurrentCell
from asrnn.construction import Model as Model
from asrnn.construction import construct, model_class_of, one_line, takes
from asrnn.errors import ModelError, UnknownNameError
from asrnn.layers import layer_num_parameters, layer_output_size, layer_scan_backend, num_elements, run_layer
from asrnn.shapes import check_sequence, positive_size
from asrnn.stack import Stack, StackOptions

READOUTS = ("last", "mean")

_STACK = tuple(field.name for field in fields(StackOptions))


class RecurrentModel(nn.Module):
    """A recurrent module and a linear readout of its last state or of the mean, ``[B, T, I]`` to ``[B, num_outputs]``.

    The readout starts as :class:`torch.nn.Linear` does; the paper does not say how its own did.

    Args:
        recurrence: a :class:`RecurrentCell`, a :class:`Stack`, or any module that maps ``[B, T, I]`` to the states
            ``[B, T, H]``, to the last state ``[B, H]``, or to a tuple whose first item is one of these, as
            ``torch.nn.LSTM`` with ``batch_first=True`` does.
        input_size: I.
        hidden_size: H.
        num_outputs: the number of values read out; C for a classifier.
        readout: what of the recurrence is read: ``last``, its output at the last step, or ``mean``, over all steps.

    Raises:
        ModelError: a size is not positive.
        UnknownNameError: there is no such readout.
    """

    def __init__(
        self, recurrence: nn.Module, *, input_size: int, hidden_size: int, num_outputs: int, readout: str = "last"
    ) -> None:
        super().__init__()
        self.input_size = positive_size("input_size", input_size)
        self.hidden_size = positive_size("hidden_size", hidden_size)
        if readout not in READOUTS:
            raise UnknownNameError("readout", str(readout), READOUTS)
        self.reads = readout
        self.recurrence = recurrence
        if isinstance(recurrence, Stack):
            self.output_size = recurrence.output_size
        else:
            self.output_size = layer_output_size(recurrence, hidden_size)
        self.readout = nn.Linear(self.output_size, positive_size("num_outputs", num_outputs))

    @property
    def scan_backend(self) -> str:
        """What runs the recurrence: a cell's own word, a stack's joined, or ``module`` for another module."""
        recurrence = self.recurrence
        return recurrence.scan_backend if isinstance(recurrence, Stack) else layer_scan_backend(recurrence)

    def forward(self, x: Tensor) -> Tensor:
        """Read out the last state or the mean, ``[B, T, I]`` to ``[B, num_outputs]``.

        Raises:
            ModelError: the input, or what a recurrent module returns, has a wrong shape.
        """
        check_sequence(x, self.input_size)
        whole = self.reads == "mean"
        if isinstance(self.recurrence, Stack):
            output = self.recurrence(x, return_sequence=whole)
        else:
            output = run_layer(self.recurrence, x, self.output_size, return_sequence=whole)
        readout: Tensor = self.readout(output.mean(dim=1) if whole else output)
        return readout

    def num_parameters(self) -> int:
        """Count the degrees of freedom that are learnt, the readout's included."""
        return self.num_recurrent_parameters() + num_elements(self.readout)

    def num_recurrent_parameters(self) -> int:
        """Count the degrees of freedom that are learnt, the readout's left out."""
        recurrence = self.recurrence
        return recurrence.num_parameters() if isinstance(recurrence, Stack) else layer_num_parameters(recurrence)


def build_cell(model: Model, input_size: int, hidden_size: int, **hyper: object) -> RecurrentCell:
    """Build a cell by its registered name, with the hyper-parameters under the names of its paper.

    Raises:
        ModelError: it cannot be built, or is a module that is no :class:`RecurrentCell`.
        UsageError: it is not to be found under this name.
    """
    cell = construct(model_class_of(model), input_size, hidden_size, hyper)
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

    >>> from asrnn import build_model
    >>> deep = {"num_layers": 2, "residual": True, "norm": "layer", "glu": True, "dropout": 0.1, "readout": "mean"}
    >>> model = build_model("antisymmetric", input_size=1, hidden_size=16, num_outputs=10, gamma=0.1, **deep)

    Args:
        model: a registered name, ``FILE.py:Class``, ``package.module:Class``, a class, or a found source.
        input_size: I.
        hidden_size: H.
        num_outputs: the number of values read out; C for a classifier.
        seed: of the initialisation, which then neither reads nor changes torch's global generator.
        hyper: hyper-parameters of the model, under its own names; ``num_layers``, ``residual``, ``norm``,
            ``norm_first``, ``glu`` and ``dropout`` of a stack of it (:class:`StackOptions`); and ``readout``, ``last``
            or ``mean``. A name that the model's own constructor takes, as ``torch.nn.LSTM`` takes ``num_layers`` and
            ``dropout``, is the model's.

    Raises:
        ModelError: it cannot be imported or built, or returns a wrong shape.
        UsageError: it, a norm or a readout is not to be found under this name.
    """
    model_class = model_class_of(model)
    around = [name for name in (*_STACK, "readout") if not takes(model_class, name)]
    own = {name: value for name, value in hyper.items() if name not in around}
    readout = str(hyper["readout"]) if "readout" in hyper and "readout" in around else "last"
    options = StackOptions(**{name: hyper[name] for name in _STACK if name in hyper and name in around})  # type: ignore[arg-type]

    def build_layer(size: int) -> nn.Module:
        return construct(model_class, size, hidden_size, own, around)

    with _initialization(seed):
        alone = options == StackOptions()
        recurrence = build_layer(input_size) if alone else Stack(build_layer, input_size, hidden_size, options)
        built = RecurrentModel(
            recurrence, input_size=input_size, hidden_size=hidden_size, num_outputs=num_outputs, readout=readout
        )
    _probe(built, model_class)
    return built


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
def _probe(model: RecurrentModel, model_class: type[nn.Module]) -> None:
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
        raise ModelError(
            f"{model_class.__name__} failed on an input [2, 3, {model.input_size}]: {one_line(error, model_class)}"
        ) from error
    finally:
        for module, training in modes:
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)

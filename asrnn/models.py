"""Build models: a cell, another recurrent module or a stack of these, with a linear readout."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from asrnn.cells import RecurrentCell
from asrnn.construction import Model as Model
from asrnn.construction import as_python_scalars, construct, model_class_of, names_keyword
from asrnn.errors import ModelError, UnknownNameError
from asrnn.layers import layer_num_parameters, layer_output_size, layer_scan_backend, num_elements, run_layer
from asrnn.model_trial import draws_weights_late, run_once, try_copy
from asrnn.shapes import check_sequence, positive_size
from asrnn.sources.signatures import STACK_ARGUMENTS
from asrnn.stack import Stack, StackOptions

READOUTS = ("last", "mean")


class RecurrentModel(nn.Module):
    """A recurrent module with a linear readout of its last state or of the mean, ``[B, T, I]`` to ``[B, num_outputs]``.

    The readout is initialised as :class:`torch.nn.Linear` is; the paper does not say how its own was.

    Args:
        recurrence: a :class:`RecurrentCell`, a :class:`Stack`, or any module that maps ``[B, T, I]`` to the states
            ``[B, T, H]``, to the last state ``[B, H]``, or to a tuple whose first item is one of these, as
            ``torch.nn.LSTM`` with ``batch_first=True`` does.
        input_size: the input size I.
        hidden_size: the hidden size H.
        num_outputs: the number of values read out; C for a classifier.
        readout: the output of the recurrence that is read: ``last``, that of the last step, or ``mean``, over all.

    Raises:
        ModelError: a size is not positive.
        UnknownNameError: there is no readout of this name.
    """

    def __init__(
        self, recurrence: nn.Module, *, input_size: int, hidden_size: int, num_outputs: int, readout: str = "last"
    ) -> None:
        super().__init__()
        self.input_size = positive_size("input_size", input_size)
        self.hidden_size = positive_size("hidden_size", hidden_size)
        if readout not in READOUTS:
            raise UnknownNameError("readout", str(readout), READOUTS)
        self.pooling = readout
        self.arguments: dict[str, object] | None = None
        """The arguments of :func:`asrnn.models.assemble`, if the model was a name."""
        self.recurrence = recurrence
        if isinstance(recurrence, Stack):
            self.output_size = recurrence.output_size
        else:
            self.output_size = layer_output_size(recurrence, hidden_size)
        self.readout = nn.Linear(self.output_size, positive_size("num_outputs", num_outputs))

    @property
    def scan_backend(self) -> str:
        """The back end of the recurrence, joined by ``+`` for a stack, and ``module`` for a module that is no cell."""
        recurrence = self.recurrence
        return recurrence.scan_backend if isinstance(recurrence, Stack) else layer_scan_backend(recurrence)

    def forward(self, x: Tensor) -> Tensor:
        """Read out the last state or the mean, ``[B, T, I]`` to ``[B, num_outputs]``.

        Raises:
            ModelError: the input, or what a recurrent module returns, has a wrong shape.
        """
        check_sequence(x, self.input_size)
        whole = self.pooling == "mean"
        if isinstance(self.recurrence, Stack):
            output = self.recurrence(x, return_sequence=whole)
        else:
            output = run_layer(self.recurrence, x, self.output_size, return_sequence=whole)
        readout: Tensor = self.readout(output.mean(dim=1) if whole else output)
        return readout

    def num_parameters(self) -> int:
        """Count the degrees of freedom that are learnt, with those of the readout."""
        return self.num_recurrent_parameters() + num_elements(self.readout)

    def num_recurrent_parameters(self) -> int:
        """Count the degrees of freedom that are learnt, without those of the readout."""
        recurrence = self.recurrence
        return recurrence.num_parameters() if isinstance(recurrence, Stack) else layer_num_parameters(recurrence)


def build_cell(
    model: Model,
    /,
    input_size: int,
    hidden_size: int,
    *,
    seed: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **hyper: object,
) -> RecurrentCell:
    """Build a cell from its registered name; its hyper-parameters have the names of its paper.

    Args:
        model: the cell, as in :func:`build_model`.
        input_size: the input size I.
        hidden_size: the hidden size H.
        seed: the seed of the initialisation, as in :func:`build_model`.
        device: the device to which the cell is moved after its initialisation.
        dtype: the precision to which it is cast then.
        hyper: hyper-parameters of the cell.

    Raises:
        ModelError: it cannot be built, or is a module that is no :class:`RecurrentCell`.
        UsageError: there is no model of this name.
    """
    with _initialization(seed):
        cell = construct(model_class_of(model), input_size, hidden_size, hyper)
    if not isinstance(cell, RecurrentCell):
        raise ModelError(f"{type(cell).__name__} is not a RecurrentCell: use build_model")
    _move(cell, device, dtype)
    return cell


def build_model(
    model: Model,
    /,
    *,
    input_size: int,
    hidden_size: int,
    num_outputs: int,
    seed: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **hyper: object,
) -> RecurrentModel:
    """Build a model, ``[B, T, I]`` to ``[B, num_outputs]``, and try it once on a small input.

    >>> from asrnn import build_model
    >>> deep = {"num_layers": 2, "residual": True, "norm": "layer", "glu": True, "dropout": 0.1, "readout": "mean"}
    >>> model = build_model("antisymmetric", input_size=1, hidden_size=16, num_outputs=10, gamma=0.1, **deep)

    Args:
        model: a registered name, ``FILE.py:Class``, ``package.module:Class``, a class, or a result of ``find_model``.
        input_size: the input size I.
        hidden_size: the hidden size H.
        num_outputs: the number of values read out; C for a classifier.
        seed: the seed of the initialisation; with a seed, torch's global generator is neither read nor changed.
        device: the device to which the model is moved after its initialisation; a seed gives the same numbers on all.
        dtype: the precision to which it is cast then.
        hyper: hyper-parameters of the model; ``num_layers``, ``residual``, ``norm``, ``norm_first``, ``glu`` and
            ``dropout`` of a stack of it (:class:`StackOptions`); and ``readout``, ``last`` or ``mean``. A name that
            the constructor of the model has is passed to the model, such as ``num_layers`` to ``torch.nn.LSTM``; an
            open ``**kwargs`` has none of these names. Use :func:`asrnn.models.assemble` if a hyper-parameter of the
            model has the name of an argument of this function, such as ``seed``.

    Raises:
        ModelError: it cannot be imported or built, or returns a wrong shape.
        UsageError: there is no model, norm or readout of this name.
    """
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_outputs": num_outputs}
    return assemble(model, hyper, **sizes, seed=seed, device=device, dtype=dtype)


def assemble(
    model: Model,
    hyper: Mapping[str, object],
    *,
    input_size: int,
    hidden_size: int,
    num_outputs: int,
    seed: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> RecurrentModel:
    """Build a model as :func:`build_model` does, from a mapping of hyper-parameters, in which any name is allowed.

    >>> from asrnn.models import assemble
    >>> model = assemble("antisymmetric", {"gamma": 0.1, "num_layers": 2}, input_size=1, hidden_size=16, num_outputs=10)

    Raises:
        ModelError: it cannot be imported or built, or returns a wrong shape.
        UsageError: there is no model, norm or readout of this name.
    """
    model_class = model_class_of(model)
    own = own_hyper(model_class, hyper)
    others = as_python_scalars({name: value for name, value in hyper.items() if name not in own})
    readout = str(others.pop("readout", "last"))
    options = StackOptions(**others)  # type: ignore[arg-type]
    of_a_stack = [name for name in STACK_ARGUMENTS if not names_keyword(model_class, name)]

    def build_layer(size: int) -> nn.Module:
        return construct(model_class, size, hidden_size, own, of_a_stack)

    with _initialization(seed):
        is_single = options == StackOptions()
        recurrence = build_layer(input_size) if is_single else Stack(build_layer, input_size, hidden_size, options)
        built = RecurrentModel(
            recurrence, input_size=input_size, hidden_size=hidden_size, num_outputs=num_outputs, readout=readout
        )
        if draws_weights_late(built):
            run_once(built, _small_input(built), model_class)
    _move(built, device, dtype)  # before the trial: a model may compute on a GPU alone
    with torch.random.fork_rng(devices=[]):
        try_copy(built, _small_input(built), model_class)
    if isinstance(model, str):
        sizes = {"input_size": built.input_size, "hidden_size": built.hidden_size, "num_outputs": int(num_outputs)}
        built.arguments = {"model": model, **sizes, "hyper": as_python_scalars(hyper)}
    return built


def own_hyper(model_class: type[nn.Module], hyper: Mapping[str, object]) -> dict[str, object]:
    """Return the hyper-parameters of the model itself, without those of a stack and of the readout."""
    return {
        name: value for name, value in hyper.items() if name not in STACK_ARGUMENTS or names_keyword(model_class, name)
    }


@contextmanager
def _initialization(seed: int | None) -> Iterator[None]:
    """Draw from a generator with this seed; draw from the global generator if there is none."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs' generators too
        yield


def _move(module: nn.Module, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
    if device is not None:
        module.to(device)
    if dtype is None:
        return
    if not dtype.is_floating_point:
        raise ModelError(f"dtype must be a floating point type, such as torch.float64, not {dtype}")

    def cast(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(dtype.to_complex())
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    module._apply(cast)  # type: ignore[no-untyped-call]


def _small_input(model: RecurrentModel) -> Tensor:
    """Return a sequence of zeros, ``[2, 3, I]``, on the device and in the precision of a model."""
    return model.readout.weight.new_zeros(2, 3, model.input_size)

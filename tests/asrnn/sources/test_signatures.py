"""Compare the hyper-parameters that source text names with those that the classes of built-in cells take."""

from dataclasses import fields

import pytest

import asrnn
from asrnn.construction import _keywords, model_class_of
from asrnn.registry import find_model
from asrnn.sources.signatures import STACK_ARGUMENTS, cell_arguments
from asrnn.stack import StackOptions


@pytest.mark.parametrize("name", [name for name in asrnn.list_models() if find_model(name).origin == "built-in"])
def test_the_text_of_a_cell_names_all_its_hyper_parameters(name: str) -> None:
    accepted, _ = _keywords(model_class_of(name))
    read = cell_arguments(find_model(name).target)
    assert accepted - {"input_size", "hidden_size"} <= read
    assert "sigmaw" not in read


def test_only_the_own_constructor_of_a_cell_is_read() -> None:
    assert cell_arguments("asrnn.cells.lstm:LSTM") == {"sigma_w"}


def test_stack_arguments_are_those_of_a_stack_and_its_readout() -> None:
    assert (*(field.name for field in fields(StackOptions)), "readout") == STACK_ARGUMENTS

"""Test the form of the cells' docstrings, from which the documentation site makes its catalogue."""

import inspect
import re

import pytest
from scan_support import SOURCES

from asrnn import load_model

CELLS = {name: load_model(source) for name, source in SOURCES.items()}
EVERY = pytest.mark.parametrize("cell_class", CELLS.values(), ids=CELLS)

FORM = re.compile(
    r"""
    (?P<summary>[^\n]+\.)\n
    \n
    \.\.[ ]math::\n
    (?P<equation>([ ]{4}[^\n]+\n)+)
    \n
    Source:[ ](?P<source>([^\n]+\n)+)
    \n
    ((?!Args:)[^\n]+\n|\n)*          # notes, as many paragraphs as it takes
    Args:\n
    (?P<arguments>([ ]{4}[^\n]+\n)+)
    \n
    Shapes:[ ]([^\n]+\n)+
    (\nRaises:\n([ ]{4}[^\n]+\n)+)?
    """,
    re.VERBOSE,
)


@EVERY
def test_form(cell_class: type) -> None:
    docstring = inspect.getdoc(cell_class) + "\n"
    found = FORM.fullmatch(docstring)
    assert found, docstring
    paper = re.search(r"arXiv [\d.]+\d", cell_class.paper)
    assert (paper.group() if paper else str(cell_class.year)) in found["source"]


@EVERY
def test_equation_is_latex(cell_class: type) -> None:
    equation = FORM.fullmatch(inspect.getdoc(cell_class) + "\n")["equation"]
    assert equation.count("{") == equation.count("}")
    assert "_t" in equation
    for state in cell_class.state_names:
        assert f"{state.partition('_')[0]}_t" in equation, state  # h_t for h, and for h_re


@EVERY
def test_every_argument_and_parameter_is_described(cell_class: type) -> None:
    docstring = inspect.getdoc(cell_class) + "\n"
    described = re.findall(r"^    (\w+): ", FORM.fullmatch(docstring)["arguments"], re.MULTILINE)
    assert described == list(inspect.signature(cell_class).parameters)
    for parameter, _ in cell_class(3, 6).named_parameters():
        assert parameter.startswith("layer.") or f"``{parameter.partition('.')[0]}``" in docstring, parameter

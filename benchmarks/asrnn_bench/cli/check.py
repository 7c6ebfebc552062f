"""Check a model against the contract: ``asrnn-bench check``."""

import os
import re
import shutil
import sys
import textwrap
import tomllib
from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import ValidationError

from asrnn.errors import UsageError
from asrnn.registry import find_model
from asrnn_bench.cli.app import app
from asrnn_bench.files.validation import first_fault
from asrnn_bench.planning.settings import Settings
from asrnn_bench.planning.values import Plain

_WORD = re.compile(r"[A-Za-z][\w.-]*")


@app.command()
def check(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A registered name, FILE.py:Class or package.module:Class.")
    ],
    hyper: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A hyper-parameter, with its value as in TOML; can be repeated."),
    ] = None,
    hidden_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="H", help="Hidden size H; default: 64, or the next size that the model accepts."),
    ] = None,
    input_size: Annotated[int, typer.Option(min=1, metavar="I", help="Input size I.")] = 3,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu or cuda; default: a GPU if there is one.")
    ] = None,
) -> int:
    """Check a model against the contract; exit 1 if a run would refuse it."""
    given = _hyper(hyper or ())
    source = find_model(model)
    from asrnn.contract import ModelUnderTest, Report, run_checks  # only here: it imports torch

    subject = ModelUnderTest(source, given, input_size=input_size, hidden_size=hidden_size, device=device)
    findings = []
    for finding in run_checks(subject):
        typer.echo(_fitting(finding.line))
        findings.append(finding)
    report = Report(subject.name, tuple(findings))
    typer.echo(_fitting(report.verdict, indent=2))
    return 0 if report.passed else 1


def _fitting(line: str, indent: int = 26) -> str:
    """Break a line at the width of the terminal, and indent the rest; in a file or a pipe it stays one line."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return line
    width = max(shutil.get_terminal_size().columns, 2 * indent)
    return textwrap.fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def _hyper(words: Sequence[str]) -> dict[str, Plain]:
    """Read hyper-parameters as a suite does, so that a run takes all that was checked.

    Raises:
        UsageError: a suite would refuse one of them, or one is given twice.
    """
    given: dict[str, object] = {}
    for name, value in map(_pair, words):
        if name in given:
            raise UsageError(f"--hyper {name} is given twice; give it once")
        given[name] = value
    try:
        return Settings.model_validate({"origin": "--hyper", "hyper": given}).hyper
    except ValidationError as error:
        raise UsageError(f"--{first_fault(error, Settings).replace('hyper.', 'hyper ', 1)}") from error


def _pair(text: str) -> tuple[str, object]:
    """Read ``key=value``; a bare word is a string, because a shell would remove its quotes.

    Raises:
        UsageError: the text has another form.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if equals and key.isidentifier() and value.isprintable():
        try:
            return key, tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            if _WORD.fullmatch(value):
                return key, value
    raise UsageError(f"--hyper takes a name and a value as in TOML, such as epsilon=0.1 or norm=layer; found '{text}'")

"""Write the pages that are made from the code or that stand at the top of the repository."""

import re
from collections.abc import Iterable
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer.main
from sphinx.application import Sphinx

from asrnn import describe, find_model, load_model, model_sources
from asrnn_bench.cli.app import app as command_line

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "generated"
TOP_PAGES = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")
INPUT_SIZE, HIDDEN_SIZE = 1, 128

CATALOGUE = f"""\
# All cells

The {{number}} built-in cells, with their sizes at I = {INPUT_SIZE} and H = {HIDDEN_SIZE}. *Parameters* counts degrees
of freedom without the readout. *State* is how many numbers a sample carries from step to step. *Back ends* ran on the
machine that built this page; the fastest comes first. [Speed](../speed.md) has the times.

{{table}}

```{{{{toctree}}}}
:hidden:

{{pages}}
```
"""

COMMANDS = """\
# Commands and flags

`asrnn-bench` alone runs a suite. Everything else is a verb. `asrnn-bench VERB --help` shows the same in a terminal.

{sections}

## Exit status

| status | meaning |
| --- | --- |
| 0 | all jobs are done |
| 1 | a job failed; with `--strict`, a job had no data; data could not be fetched; a checked model breaks the contract |
| 2 | wrong usage |
| 130 | interrupted by Ctrl-C |
| 143 | ended by SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2 |

A model that diverges is a result, not a failure.
"""


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    lines = [list(header), ["---"] * len(list(header)), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def cell_pages() -> dict[str, str]:
    """Return the catalogue and a page for each built-in cell, by file name."""
    pages, rows = {}, []
    for source in (each for each in model_sources() if each.origin == "built-in"):
        cell = load_model(find_model(source.name))
        found = describe(source, input_size=INPUT_SIZE, hidden_size=HIDDEN_SIZE)
        numbers = [f"{found.parameters:,}", f"{found.state_size:,}", ", ".join(found.backends)]
        arxiv = re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", found.paper)
        facts = [["family", found.family], ["paper", arxiv], ["parameters", numbers[0]], ["state", numbers[1]]]
        rows.append([f"[`{source.name}`]({source.name}.md)", found.family, str(found.year), *numbers])
        pages[source.name] = "\n\n".join(
            [
                f"# `{source.name}`",
                table(("", f"at I = {INPUT_SIZE}, H = {HIDDEN_SIZE}"), [*facts, ["back ends", numbers[2]]]),
                f"```{{eval-rst}}\n.. autoclass:: {cell.__module__}.{cell.__qualname__}\n   :members: step\n```\n",
            ]
        )
    header = ("cell", "family", "year", "parameters", "state", "back ends")
    catalogue = CATALOGUE.format(number=len(rows), table=table(header, rows), pages="\n".join(pages))
    return {"cells": catalogue, **pages}


def command_page() -> str:
    """Return the reference of all verbs and their flags, from the command line itself."""
    group: Any = typer.main.get_command(command_line)
    sections = [f"## `asrnn-bench`\n\n{_of_command(group)}"]
    sections += [f"## `asrnn-bench {name}`\n\n{_of_command(verb)}" for name, verb in group.commands.items()]
    return COMMANDS.format(sections="\n\n".join(sections))


def _of_command(command: Any) -> str:
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        value = parameter.metavar or parameter.name.upper()
        is_argument = parameter.param_type_name == "argument"
        flags = ", ".join(sorted(parameter.opts, key=len))
        name = value if is_argument else flags if parameter.is_flag else f"{flags} {value}"
        default = parameter.default
        usual = "" if default is None or isinstance(default, bool) or callable(default) else f"`{default}`"
        rows.append([f"`{name}`", parameter.help or "", usual])
    return f"{cleandoc(command.help or '')}\n\n{table(('flag', 'meaning', 'default'), rows)}"


def top_pages() -> dict[str, str]:
    """Return the pages at the top of the repository, with links that lead to pages of the site."""
    pages = {}
    for name in TOP_PAGES:
        text = (
            (ROOT / name)
            .read_text()
            .replace("](docs/", "](../")
            .replace("](leaderboards/README.md", "](../leaderboards.md")
        )
        for other in TOP_PAGES:
            text = text.replace(f"]({other}", f"]({other.lower()}")
        pages[Path(name).stem.lower()] = text
    return pages


def write_pages(_: Sphinx) -> None:
    """Write the pages that changed, so that Sphinx reads no other again."""
    FOLDER.mkdir(exist_ok=True)
    pages = {**cell_pages(), **top_pages(), "commands": command_page()}
    for name, text in pages.items():
        path = FOLDER / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in FOLDER.glob("*.md"):
        if path.stem not in pages:
            path.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

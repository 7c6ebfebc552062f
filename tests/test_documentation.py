"""Try what the pages promise: commands that exist, links that lead somewhere, equations that render."""

import re
import shlex
from inspect import getdoc
from pathlib import Path
from typing import Any

import pytest
import typer.main

from asrnn import find_model, load_model, model_sources
from asrnn_bench.cli.app import app
from asrnn_bench.jobs.ends import RULES

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "leaderboards/README.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "generated" not in page.parts),
]
SOURCE_ROOTS = [ROOT / name for name in ("", "asrnn", "benchmarks", "benchmarks/asrnn_bench")]
BUILT_IN = [source.name for source in model_sources() if source.origin == "built-in"]


def _commands() -> list[Any]:
    """Return each call of the command line in a block of shell commands, with its page."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```(?:bash|console)\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                call = re.search(r"(?<![\w./-])asrnn-bench (-.*|[a-z]+\b.*)", line)
                if call:
                    words = call[1].partition("#")[0].strip().rstrip('"')
                    found.append(pytest.param(words, id=f"{page.name}: {words[:50]}"))
    return found


@pytest.mark.parametrize("words", _commands())
def test_a_command_of_the_pages_names_verbs_and_flags_that_exist(words: str) -> None:
    group: Any = typer.main.get_command(app)
    first, *rest = shlex.split(words)
    command = group if first.startswith("-") else group.commands[first]
    known = {flag for parameter in command.params for flag in parameter.opts if flag.startswith("-")} | {"--help"}
    given = {word.partition("=")[0] for word in [first, *rest] if word.startswith("--")}
    assert given <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_links_to_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text())
    there = [link for link in links if "generated/" not in link]  # those are made with the site
    assert [link for link in there if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_source_files_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|c|toml))`", page.read_text()))
    assert [name for name in sorted(named) if not any((root / name).exists() for root in SOURCE_ROOTS)] == []


def test_the_architecture_names_each_kind_of_end() -> None:
    rows = [line for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines() if line.startswith("| `")]
    assert [kind for kind in RULES if kind != "done" and not any(f"`{kind}`" in row for row in rows)] == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_equation_of_a_cell_renders(name: str) -> None:
    latex2mathml = pytest.importorskip("latex2mathml.converter", reason="latex2mathml is not installed: extra docs")
    blocks = re.findall(r"\.\. math::\n((?:    .*\n|\n)+)", f"{getdoc(load_model(find_model(name)))}\n")
    assert blocks
    for block in blocks:
        tex = re.sub(r"\s+", " ", block)
        rendered = latex2mathml.convert(rf"\begin{{split}}{tex}\end{{split}}" if r"\\" in tex else tex)
        assert "\\" not in rendered  # a command that the converter does not know stays as it is
        assert "<mi>&</mi>" not in rendered

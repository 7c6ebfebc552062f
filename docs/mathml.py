"""Render equations as MathML, which browsers draw themselves: no script, no font and no network."""

import re
from html import escape
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def _mathml(tex: str, display: str) -> str:
    return convert(rf"\begin{{split}}{tex}\end{{split}}" if r"\\" in tex else tex, display=display)


def visit_math(writer: Any, node: nodes.math) -> None:
    """Write an equation within a line."""
    writer.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(writer: Any, node: nodes.math_block) -> None:
    """Write an equation of its own lines, which scrolls where it is wider than the page."""
    tex = re.sub(r"\s+", " ", node.astext())
    label = f' aria-label="{escape(tex, quote=True)}"'
    writer.body.append(f'<div class="math"{label}>{_mathml(tex, "block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer to Sphinx by the name ``mathml``."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

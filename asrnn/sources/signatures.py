"""Read the hyper-parameters of a built-in cell from its source text, so that a plan needs no torch to check them."""

import ast
from functools import cache
from pathlib import Path

STACK_ARGUMENTS = ("num_layers", "residual", "norm", "norm_first", "glu", "dropout", "readout")
"""The hyper-parameters of a stack and of the readout, if the constructor of the model does not have the name itself."""

_CELLS = Path(__file__).parents[1] / "cells"


@cache
def cell_arguments(target: str) -> frozenset[str]:
    """Return the arguments of the constructor of a built-in cell, without its two sizes.

    For a class without a constructor, the arguments of the constructors of all its bases are returned.

    Args:
        target: ``asrnn.cells.MODULE:Class``.
    """
    module, _, class_name = target.rpartition(":")
    path = _CELLS.joinpath(*module.removeprefix("asrnn.cells.").split(".")).with_suffix(".py")
    tree = ast.parse(path.read_bytes())
    class_def = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name), None)
    if class_def is None:
        return frozenset()
    for node in class_def.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            return frozenset(argument.arg for argument in arguments) - {"self", "input_size", "hidden_size"}
    places = {alias.name: n.module for n in tree.body if isinstance(n, ast.ImportFrom) for alias in n.names}
    bases = [base.id for base in class_def.bases if isinstance(base, ast.Name)]
    base_targets = [f"{places.get(base) or module}:{base}" for base in bases]
    return frozenset[str]().union(*(cell_arguments(base) for base in base_targets if base.startswith("asrnn.cells.")))

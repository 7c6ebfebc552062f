"""Write the help of the command line, with flags in groups and no text cut off."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

OTHERS = "Other flags"


def write_groups(parameters: Iterable[Any], formatter: Any) -> None:
    """Write arguments and flags, in one group for each ``rich_help_panel``.

    Args:
        parameters: Typer's parameters of a command.
        formatter: Typer's formatter, which writes lines.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in parameters:
        if not getattr(parameter, "hidden", False):
            is_argument = parameter.param_type_name == "argument"
            group = getattr(parameter, "rich_help_panel", None) or ("Arguments" if is_argument else OTHERS)
            groups.setdefault(group, []).append((_name(parameter), _help(parameter)))
    if OTHERS in groups:
        groups["Flags" if len(groups) == 1 or set(groups) == {"Arguments", OTHERS} else OTHERS] = groups.pop(OTHERS)
    for group, rows in groups.items():
        with formatter.section(group):
            formatter.write_dl(rows)


def write_verbs(verbs: Mapping[str, Any], formatter: Any) -> None:
    """Write each verb with the first paragraph of its help."""
    rows = [(name, inspect.cleandoc(verb.help or "").partition("\n\n")[0]) for name, verb in verbs.items()]
    with formatter.section("Verbs, each with a --help of its own"):
        formatter.write_dl(rows)


def _name(parameter: Any) -> str:
    """Return the name of an argument, or a flag with the kind of its value."""
    value = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        return str(value)
    flags = ", ".join(sorted(parameter.opts, key=len))
    return flags if parameter.is_flag else f"{flags} {value}"


def _help(parameter: Any) -> str:
    """Return what a flag does, and its default."""
    default = parameter.default
    usual = "" if default is None or isinstance(default, bool) or callable(default) else f" [{default}]"
    return f"{parameter.help or ''}{usual}"

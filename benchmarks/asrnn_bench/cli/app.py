"""Define the application to which each verb adds itself."""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from asrnn_bench.cli.help_page import write_groups, write_verbs
from asrnn_bench.cli.misuse import refuse_repeated, unknown_verb

EXAMPLES = """\
asrnn-bench --suite long-range --dry-run              print the plan
asrnn-bench --suite long-range                        run it
asrnn-bench --suite long-range --models my.py:MyCell  add your own model
"""


class _OnceEach:
    """Refuses a flag that takes one value and is given twice: Typer would take the last one in silence."""

    def make_parser(self, ctx: Any) -> Any:
        parser: Any = super().make_parser(ctx)  # type: ignore[misc]
        parse = parser.parse_args

        def parse_once_each(args: list[str]) -> Any:
            found = parse(args=args)
            refuse_repeated(found[2])
            return found

        parser.parse_args = parse_once_each
        return parser


class Verb(_OnceEach, TyperCommand):
    """A verb, with the flags in groups in its help."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and flags."""
        write_groups(self.get_params(ctx), formatter)


class Verbs(_OnceEach, TyperGroup):
    """The whole command line: a run, and a verb for everything else."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write examples, the flags in groups, and the verbs."""
        with formatter.section("Examples"):
            for line in EXAMPLES.splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        write_groups(self.get_params(ctx), formatter)
        write_verbs(self.commands, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the verb of a call.

        Raises:
            UsageError: there is no such verb; the message names the nearest.
        """
        if self.get_command(ctx, args[0]) is None:
            raise unknown_verb(args, list(self.commands))
        return super().resolve_command(ctx, args)


class _Application(typer.Typer):
    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        return super().command(name, **{"cls": Verb, **settings})


app = _Application(
    cls=Verbs,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="[VERB ...]",
    options_metavar="[FLAGS]",
)

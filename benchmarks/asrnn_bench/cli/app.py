"""The application that every verb enters itself into."""

import typer

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
)

# Each module enters its verb when it is imported, so the imports come after the application.
from asrnn_bench.cli import doctor, leaderboard, listing, prepare, run, status, tune  # noqa: E402, F401

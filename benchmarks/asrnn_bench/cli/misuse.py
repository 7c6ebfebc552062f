"""Suggest in one line what a user probably meant by a wrong call of the command line."""

import shlex
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from asrnn.errors import UsageError
from asrnn.registry import list_models
from asrnn_bench.planning.suite_files import shipped_suites
from asrnn_data.tasks import TASKS

MEANT = {
    **dict.fromkeys(("bench", "benchmark", "evaluate", "run", "start", "train"), ""),
    **dict.fromkeys(("models", "suites", "tasks"), "list"),
    **dict.fromkeys(("download", "fetch", "data"), "prepare"),
    **dict.fromkeys(("hyper", "sweep", "tune"), "search"),
    **dict.fromkeys(("show", "watch", "progress", "ps"), "status"),
    **dict.fromkeys(("time", "timing"), "speed"),
    **dict.fromkeys(("help", "version"), "--"),
}
"""The verb for each word that people try; an empty one means a run, and ``--`` a flag of the same name."""

RUN = "asrnn-bench --suite long-range"


def unknown_verb(words: Sequence[str], verbs: Sequence[str]) -> UsageError:
    """Return the error for a first word that is no verb.

    Args:
        words: the word and the rest of the call.
        verbs: all verbs.
    """
    word, *rest = words
    if word in MEANT:
        return UsageError(f"there is no verb '{word}': {_instead(word, rest)}")
    what = _what_it_is(word)
    if what:
        return UsageError(f"'{word}' is {what}")
    names = [*verbs, *shipped_suites(), *TASKS, *MEANT]
    near = next(iter(get_close_matches(word, names, n=1, cutoff=0.6)), None)
    if near in verbs:
        hint = f"did you mean 'asrnn-bench {near}'?"
    elif near in MEANT:
        hint = f"did you mean: {_instead(near, rest)}?"
    elif near is not None:
        hint = f"did you mean '{near}'? that is {_what_it_is(near)}"
    else:
        hint = f"there is: {', '.join(verbs)}; a run is {RUN}"
    return UsageError(f"there is no verb '{word}'; {hint}")


def unknown_flag(flag: str, context: Any) -> str:
    """Return a line with the flag that a user probably meant by one that a verb does not have.

    Args:
        flag: the flag as the user typed it.
        context: Typer's context of the verb.
    """
    own = _flags(context.command)
    near = next(iter(get_close_matches(flag, own, n=1, cutoff=0.6)), None)
    if near is not None:
        return f"{context.command_path} has no {flag}; did you mean {near}?"
    if not flag.startswith("--"):
        return f"{context.command_path} has no {flag}; flags have two dashes: {context.command_path} --help"
    whole = context.find_root().command
    for name, verb in {"": whole, **whole.commands}.items():
        if flag in _flags(verb):
            return (
                f"{context.command_path} has no {flag}; it is a flag of asrnn-bench {name or 'itself, before a verb'}"
            )
    return f"{context.command_path} has no {flag}; it has: {context.command_path} --help"


def refuse_repeated(given: Sequence[Any]) -> None:
    """Refuse a flag that takes one value and is given several times.

    Args:
        given: Typer's parameters, one for each flag that the user typed.

    Raises:
        UsageError: there is such a flag.
    """
    for parameter, count in Counter(given).items():
        if count > 1 and parameter.param_type_name == "option" and not (parameter.multiple or parameter.is_flag):
            raise UsageError(f"{parameter.opts[-1]} is given {count} times, and takes one value: give it once")


def _flags(command: Any) -> list[str]:
    return [flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")]


def _instead(word: str, rest: Sequence[str]) -> str:
    """Return the command to use in place of a word of ``MEANT``."""
    meant = MEANT[word]
    if meant == "":
        return f"a run is asrnn-bench {shlex.join(rest)}" if "--suite" in shlex.join(rest) else f"a run is {RUN}"
    if meant == "--":
        return f"asrnn-bench --{word}"
    return f"asrnn-bench list {word}" if meant == "list" else f"asrnn-bench {meant}"


def _what_it_is(word: str) -> str:
    """Return what a word is (a suite, a task or a model) and the command for it; empty if it is none of them."""
    quoted = shlex.quote(word)
    if word in shipped_suites() or word.endswith(".toml"):
        return f"a suite: asrnn-bench --suite {quoted}"
    if word in TASKS:
        return f"a task: {RUN} --tasks {quoted}"
    if ":" in word or word.endswith(".py") or word in list_models():
        return f"a model: asrnn-bench check {quoted}, or {RUN} --models {quoted}"
    return ""

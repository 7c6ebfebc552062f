"""Call the command line within the process of the tests; one template for all tests forks its workers."""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from asrnn_bench.cli import invoke
from asrnn_bench.launching import admission, local
from asrnn_bench.supervising.forked import Forked, Template


@dataclass
class Lent:
    """A template that a pool borrows and does not close; it was started in another folder."""

    template: Template

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
        return self.template.start([*words[:-1], str(Path(words[-1]).absolute())], environment, log.absolute())

    def close(self) -> None:
        """Keep the template for the next pool."""


@dataclass(frozen=True)
class Said:
    """The exit status and the output of a call of the command line."""

    returncode: int
    stdout: str
    stderr: str


def call_here(
    template: Template,
    *words: str | Path,
    cwd: Path,
    answers: Callable[[str], str | None] | None = None,
    **environment: str,
) -> Said:
    """Call the command line in a folder, as ``call`` does, but within this process.

    Args:
        template: the process that forks the workers.
        words: the command line.
        cwd: the folder.
        answers: returns why a model from outside is refused, by its target; by default a process checks the model.
        environment: more variables.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.delenv("ASRNN_DATA_DIR", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        for root in reversed(environment.get("PYTHONPATH", "").split(os.pathsep)):
            if root:
                patch.syspath_prepend(root)
        patch.setattr(local, "Template", lambda environment: Lent(template))
        if answers is not None:
            patch.setattr(admission, "_ask", lambda models, *_: [answers(model.target) for model in models])
        status = invoke([str(word) for word in words])
    return Said(status, out.getvalue(), err.getvalue())

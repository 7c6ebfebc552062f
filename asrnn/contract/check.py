"""Define a check of the contract, and judge the exceptions of the model and of the check."""

import os
import re
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch

from asrnn.construction import one_line
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.randomness import seeded
from asrnn.contract.report import Finding, Severity, Verdict, failed, skipped
from asrnn.contract.running import RaisedError
from asrnn.errors import AsrnnError

TOLERANCE = 1e-4
"""The largest difference of two float32 results that should be equal, relative to the largest number.

A sum in another order rounds by 6e-8. Over 20 steps this grows by a factor of 100 at most, in a model that can be
trained over 1,000 steps. The faults that the checks look for (a leak, a state that is not carried) change the numbers
by their own size.
"""

_NEEDS_CUDA = re.compile(
    r"\b(is_)?cuda(_home)?\b|libcuda|\bgpus?\b|\bnvidia\b|\btriton\b|\bactive drivers\b", re.IGNORECASE
)
_OF_CODE = (AttributeError, NameError, SyntaxError)
"""The exceptions of a mistake in the code; they do not mean that a GPU is missing, whatever their text says."""

_NO_MEMORY = "this machine has not enough memory for this check"


@dataclass(frozen=True, slots=True)
class Check:
    """One clause of the contract.

    Args:
        name: a few letters, as in ``causality``.
        severity: what a failure means.
        expected: what must hold, in words.
        function: examines the model. An exception of the model's code is a failure; one of the function itself is not.
        needs: the checks that must have passed; if one of them failed, this check is skipped.
        advice: what to do if the model raised an exception.
    """

    name: str
    severity: Severity
    expected: str
    function: Callable[[ModelUnderTest], Verdict]
    needs: tuple[str, ...] = ()
    advice: str = ""

    def __call__(self, subject: ModelUnderTest, broken: Collection[str] = ()) -> Finding:
        """Check a model.

        Args:
            subject: the model under test.
            broken: the names of checks that failed, or that were skipped because another check failed.
        """
        began = time.perf_counter()
        lacking = [name for name in self.needs if name in broken]
        verdict = skipped(f"not looked at, as {lacking[0]} failed") if lacking else self._run(subject)
        return Finding(self.name, self.severity, self.expected, verdict, time.perf_counter() - began)

    def _run(self, subject: ModelUnderTest) -> Verdict:
        with _undisturbed(), subject.watched():
            try:
                return self.function(subject)
            except AsrnnError as error:
                return self._raised(subject, error, str(error))
            except RaisedError as error:
                cause = error.cause
                return self._raised(subject, cause, f"it raised {one_line(cause, subject.model_class)}")
            except Exception as error:  # a fault of the check is no fault of the model
                if lacks_memory(error):
                    return skipped(_NO_MEMORY)
                return skipped(f"the check itself failed, which is no fault of the model: {_where(error)}")

    def _raised(self, subject: ModelUnderTest, error: BaseException, words: str) -> Verdict:
        """Judge an exception of the model: a machine without a GPU, or with too little memory, is not its fault.

        If there is not even enough memory to build the model, a run refuses it.
        """
        if self.name != "builds" and lacks_memory(error):
            return skipped(_NO_MEMORY)
        if subject.device == "cpu" and needs_cuda(error):
            return skipped(
                f"it needs CUDA, and this is the CPU: {words}; check it with --device cuda where there is a GPU"
            )
        return failed(words, self.advice)


def check(
    name: str, severity: Severity, *, needs: tuple[str, ...] = (), advice: str = ""
) -> Callable[[Callable[[ModelUnderTest], Verdict]], Check]:
    """Decorate a function into a :class:`Check`; the first line of its docstring says what is expected."""

    def made(function: Callable[[ModelUnderTest], Verdict]) -> Check:
        first = (function.__doc__ or "").partition("\n")[0].removesuffix(".")
        return Check(name, severity, first[:1].lower() + first[1:], function, needs, advice)

    return made


def needs_cuda(error: BaseException | None) -> bool:
    """Return whether an error, its cause, or the line of code that raised it asks for CUDA."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        line = frames[-1].line if frames and isinstance(error, AssertionError) else ""
        mistake = isinstance(error, _OF_CODE) and "torch.cuda" not in str(error)
        if not mistake and not isinstance(error, AsrnnError) and _NEEDS_CUDA.search(f"{error} {line or ''}"):
            return True
        error = error.__cause__
    return False


def lacks_memory(error: BaseException | None) -> bool:
    """Return whether an error, or its cause, is a lack of memory, on the CPU or on a GPU."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__
    return False


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Set fixed seeds, gradient mode and algorithms for a check, and hide what the model prints.

    Steps that a model compiles run uncompiled: the numbers are the same, without the seconds of the compiler.
    """
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)  # as most jobs have it; several that wait for one another take more time than one
        torch.use_deterministic_algorithms(True, warn_only=True)  # as a job has it
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            with (
                redirect_stdout(nowhere),
                redirect_stderr(nowhere),
                torch.compiler.set_stance("force_eager"),
                seeded(0),
                torch.enable_grad(),
            ):
                yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            torch.utils.deterministic.fill_uninitialized_memory = filling  # type: ignore[attr-defined]


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]} ({place})"

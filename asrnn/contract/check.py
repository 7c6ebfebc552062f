"""A check: a name, what it expects, and a look at the model that may fail in whatever way a model can."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch

from asrnn.construction import one_line
from asrnn.contract.report import Finding, Severity, Verdict, failed, skipped
from asrnn.contract.subject import Subject
from asrnn.errors import AsrnnError

TOLERANCE = 1e-4
"""How far two ways to the same float32 numbers may lie apart, relative to the largest of them.

Sums in another order round at 6e-8 each, and 20 steps carry that on, by a factor of 100 at most in a model that can be
trained over 1,000; what the checks look for (a leak, a state that is not carried) is of the size of the numbers.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One clause of the contract.

    Args:
        name: a few letters, as in ``causality``.
        severity: what a failure means.
        expected: what must be so, in words.
        look: looks at the model; whatever it raises is a failure.
        needs: checks without which there is nothing to see: where one of them failed, this one is skipped.
        advice: what to do where the look raised something.
    """

    name: str
    severity: Severity
    expected: str
    look: Callable[[Subject], Verdict]
    needs: tuple[str, ...] = ()
    advice: str = ""

    def __call__(self, subject: Subject, broken: Collection[str] = ()) -> Finding:
        """Look at a model.

        Args:
            subject: the model.
            broken: the checks that failed, or were skipped for one that did.
        """
        began = time.perf_counter()
        lacking = [name for name in self.needs if name in broken]
        verdict = skipped(f"not looked at, as {lacking[0]} failed") if lacking else self._look(subject)
        return Finding(self.name, self.severity, self.expected, verdict, time.perf_counter() - began)

    def _look(self, subject: Subject) -> Verdict:
        """Look, with a random generator and a gradient mode that are the same whoever asks, and are put back."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.default_generator.manual_seed(0)
            try:
                return self.look(subject)
            except AsrnnError as error:
                return failed(str(error), self.advice)
            except Exception as error:  # a model may raise anything, and a stranger is to read why in one line
                return failed(f"it raised {one_line(error, subject.model_class)}", self.advice)

"""A model reads and imports nothing that its identity does not cover: an edit there must make another model of it."""

from asrnn.contract.check import Check
from asrnn.contract.report import Verdict, passed, skipped
from asrnn.contract.subject import Subject


def _covered(subject: Subject) -> Verdict:
    if subject.reads is None:
        return skipped("a class that is handed over has no file that a job would be given")
    subject.reads.refuse()
    return passed(f"{len(subject.reads.covered)} files and folders of its own")


CHECKS = (Check("own-code", "hard", "it reads and imports only files that its identity covers", _covered, ("builds",)),)

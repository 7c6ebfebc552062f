"""A Ray that is told how its tasks end."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench_support import done

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options

HERE = Options(grace_seconds=0.1, retries=2)
"""The options that every task must be started with."""


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__("a traceback of many lines")
        self.cause = cause


class OutOfMemoryError(RayError):
    pass


class TaskCancelledError(RayError):
    pass


class FakeRay:
    """As much of Ray as the launcher uses; what each task does is a function of its job directory."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayTaskError=RayTaskError,
        OutOfMemoryError=OutOfMemoryError,
        TaskCancelledError=TaskCancelledError,
    )

    def __init__(self, *tasks: Callable[[JobDirectory], object]) -> None:
        self.tasks, self.started = list(tasks), 0
        self.environment: dict[str, str] = {}
        self.cancelled: list[tuple[int, bool]] = []
        self.most_at_a_time = 0
        self._open: dict[int, JobDirectory] = {}
        self._endless: set[int] = set()

    def remote(self, **_: object) -> Callable[[object], SimpleNamespace]:
        return lambda function: SimpleNamespace(remote=self._start)

    def _start(self, path: str, options: dict[str, Any], environment: dict[str, str]) -> int:
        assert Options.model_validate(options) == HERE
        assert Path(path).is_absolute()
        self.started += 1
        self.environment = environment
        self._open[self.started] = JobDirectory(Path(path))
        self.most_at_a_time = max(self.most_at_a_time, len(self._open))
        return self.started

    def wait(self, references: list[int], **_: object) -> tuple[list[int], list[int]]:
        ended = [each for each in references if self._task(each) is not endless]
        return ended, [each for each in references if each not in ended]

    def _task(self, reference: int) -> Callable[[JobDirectory], object]:
        return self.tasks[min(reference, len(self.tasks)) - 1]

    def get(self, reference: int) -> object:
        return self._task(reference)(self._open.pop(reference))

    def cancel(self, reference: int, *, force: bool, recursive: bool) -> None:
        self.cancelled.append((reference, force))


def endless(directory: JobDirectory) -> object:
    raise AssertionError("it does not end")


def finishes(directory: JobDirectory) -> object:
    directory.publish(done(directory.job(), 0.5), directory.claim())
    return 0, ""


def raising(error: Exception, *, claims: bool = True) -> Callable[[JobDirectory], object]:
    def task(directory: JobDirectory) -> object:
        if claims:
            directory.claim()
        raise error

    return task

"""Launchers that start no process; tests name them in ``LAUNCHERS``."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from bench_support import done

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import Launcher, LaunchSettings
from asrnn_bench.launching.watch import Watch, unwatched


class IdleLauncher(Launcher):
    """Runs no job."""

    on_cluster: ClassVar[bool] = False

    def __init__(self, settings: LaunchSettings, threads: int) -> None:
        self.at_a_time, self.pace = 1, "one at a time"
        self.check_environment: dict[str, str] = {}

    def run(
        self,
        directories: Sequence[JobDirectory],
        options: Options,
        watch: Watch = unwatched,
        say: Callable[[str], None] = lambda line: None,
    ) -> dict[JobDirectory, str]:
        return {}


class PublishingLauncher(IdleLauncher):
    """Publishes a result of every job at once."""

    def run(
        self,
        directories: Sequence[JobDirectory],
        options: Options,
        watch: Watch = unwatched,
        say: Callable[[str], None] = lambda line: None,
    ) -> dict[JobDirectory, str]:
        for directory in directories:
            directory.publish(done(directory.job(), 0.5), directory.claim())
        return {}

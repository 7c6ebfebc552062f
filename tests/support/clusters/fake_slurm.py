"""A fake queue of Slurm, whose jobs do what a test says."""

from collections.abc import Callable, Sequence

from bench_support import done

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.commands import QueueEntry, RefusedError, Task
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions


class FakeSlurm:
    """A queue whose jobs do what a test says: ``act`` is called at every look with each job that is in it."""

    def __init__(self, act: Callable[[JobDirectory, int], str | None]) -> None:
        self.act = act
        self.queue: dict[Task, tuple[JobDirectory, str]] = {}
        self.submitted: list[list[str]] = []
        self.limit = 1000
        self.answers, self.looked = True, False
        self.reason = "Priority"

    def read_queue(self, names: Sequence[str]) -> dict[Task, QueueEntry] | None:
        for task, (directory, state) in list(self.queue.items()):
            if state == "RUNNING":
                state = self.act(directory, len(self.submitted)) or state
                self.queue |= {task: (directory, state)} if task in self.queue else {}
        found = {
            task: QueueEntry("1", state, self.reason) for task, (_, state) in self.queue.items() if task[0] in names
        }
        return found if self.answers else None

    def submit(
        self, directories: Sequence[JobDirectory], options: Options, sbatch_options: SbatchOptions, threads: int
    ) -> tuple[str, str]:
        if len(directories) > self.limit:
            raise RefusedError("too many")
        self.submitted.append([directory.path.name for directory in directories])
        name = f"asrnn-bench-{len(self.submitted)}"
        self.queue |= {(name, index): (directory, "RUNNING") for index, directory in enumerate(directories)}
        return name, str(len(self.submitted))


def finish(directory: JobDirectory) -> str:
    """End a job with a result."""
    attempt = directory.claim()
    directory.publish(done(directory.job(), 0.5), attempt)
    return "COMPLETED"


def lose(directory: JobDirectory) -> str:
    """End a job without a result, as if Slurm had killed its supervisor too."""
    directory.claim()
    return "NODE_FAIL"

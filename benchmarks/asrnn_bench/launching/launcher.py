"""Define what a launcher is: the class that runs the jobs of a run somewhere."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.watch import Watch, unwatched


@dataclass(frozen=True)
class LaunchSettings:
    """Where and how the jobs of a run start. By default, one on each GPU of this machine, or on each physical core.

    Args:
        launcher: a name in ``asrnn_bench.launching.choice.LAUNCHERS``.
        devices: how many GPUs or groups of cores the run takes; all by default.
        jobs_per_device: how many jobs share one device.
        options: how each job runs.
        slurm_options: options of sbatch, as ``key=value``.
        ray_address: HOST:PORT of a Ray cluster; without one, the run starts a cluster on this machine.
        join: whether another runner may work in the same folder.
        retry_failed: whether jobs that failed start again.
    """

    launcher: str = "local"
    devices: int | None = None
    jobs_per_device: int = 1
    options: Options = field(default_factory=Options)
    slurm_options: tuple[str, ...] = ()
    ray_address: str | None = None
    join: bool = False
    retry_failed: bool = False


class Launcher(Protocol):
    """Base class of launchers: it runs job directories somewhere, and waits until all of them are settled.

    To add a launcher, subclass this in a file of its own, define ``__init__`` and ``run``, and add the class to
    ``LAUNCHERS`` in ``asrnn_bench/launching/choice.py``.

    A launcher reads and returns no result. The supervisor of a job (``asrnn_bench.supervising``) starts its worker,
    tries it again, and writes every result and failure into the job directory. A launcher therefore

    1. starts a supervisor for each job directory: ``Supervisor(directory, options, start)`` in this process,
       ``supervise(path, options, environment)`` in another one, or the command
       ``python -m asrnn_bench.supervising JOBDIR`` with the variables of ``options.environment()``. A job on several
       nodes needs a ``start`` that starts its ranks;
    2. gives each supervisor an environment that keeps its worker on its own devices: ``CUDA_VISIBLE_DEVICES`` (empty
       for none) and the threads of ``asrnn_bench.launching.slots.THREAD_VARIABLES``;
    3. starts a job again when its supervisor was lost, unless ``directory.is_done()`` or
       ``directory.is_given_up(retries)``;
    4. calls ``watch()`` a few times a second, which draws the table of the run;
    5. on an interrupt, has all workers save and end within ``options.grace_seconds``, or leaves them to a cluster that
       goes on without this process, and raises the interrupt again.

    Attributes:
        on_cluster: whether many nodes share one file server; workers then write their progress less often.
        at_a_time: the most jobs that run at once; ``None`` where a cluster decides.
        pace: the same in words, such as ``4 at a time``; it follows "12 jobs to run, ".
        check_environment: variables of the process on this machine that checks a model before its jobs start.
    """

    on_cluster: ClassVar[bool] = True
    at_a_time: int | None
    pace: str
    check_environment: Mapping[str, str]

    @abstractmethod
    def __init__(self, settings: LaunchSettings, threads: int) -> None:
        """Read the settings. This is done for ``--dry-run`` too and before any job is written.

        Packages of the launcher are imported within its methods, because ``--help`` works without them.

        Args:
            settings: what the user asks for.
            threads: the threads of each process of a job.

        Raises:
            UsageError: this launcher cannot do what the settings ask for.
        """

    def check(self) -> None:
        """Check that jobs can start from this machine. This is done for a run, and not for ``--dry-run``.

        Raises:
            AsrnnError: they cannot; the message says what to do.
        """

    def describe(self, directories: Sequence[JobDirectory], options: Options) -> str | None:
        """Return what a run would submit, for ``--dry-run``; ``None`` if there is nothing to show.

        Args:
            directories: the jobs to run; the folders need not exist.
            options: how each job runs.
        """
        return None

    @abstractmethod
    def run(
        self,
        directories: Sequence[JobDirectory],
        options: Options,
        watch: Watch = unwatched,
        say: Callable[[str], None] = lambda line: None,
    ) -> dict[JobDirectory, str]:
        """Run every job, and return when all are settled.

        Args:
            directories: the jobs, in the order in which they start.
            options: how each job runs.
            watch: called a few times a second, and after an interrupt with what the launcher waits for.
            say: prints a line for the user.

        Returns:
            the reason of each failure that could not be written to its job directory; usually empty.
        """

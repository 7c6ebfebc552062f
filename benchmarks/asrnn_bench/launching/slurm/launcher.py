"""Run jobs in Slurm: the launcher ``slurm``."""

import os
from collections.abc import Callable, Sequence

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import Launcher, LaunchSettings
from asrnn_bench.launching.slurm.batch_script import describe_scripts
from asrnn_bench.launching.slurm.commands import require_commands
from asrnn_bench.launching.slurm.running import run_slurm
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions
from asrnn_bench.launching.slurm.submission import Submissions
from asrnn_bench.launching.watch import Watch, unwatched
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE, count_gpus


class SlurmLauncher(Launcher):
    """Submits jobs to Slurm as arrays, with the user's options of sbatch."""

    def __init__(self, settings: LaunchSettings, threads: int) -> None:
        if settings.devices is not None or settings.jobs_per_device > 1:
            raise UsageError(
                "Slurm shares out the devices: --slurm-option array_parallelism=N says how many jobs at a time"
            )
        nodes = settings.options.nodes_per_job
        self._sbatch_options = SbatchOptions.parse(settings.slurm_options).with_environment(os.environ)
        self._sbatch_options.check_gpus(settings.options.devices_per_job, nodes)
        self._threads = threads
        self.check_environment = {VISIBLE_VARIABLE: ""}
        most = self._sbatch_options.options.get("array_parallelism")
        self.at_a_time = int(most) if most else None
        self.pace = f"as many at a time as Slurm starts{f', {most} of an array at most' if most else ''}"
        given = self._sbatch_options.gpus_per_node(nodes)
        where = (
            "on the GPUs of its nodes, if they have any" if given is None else f"on {count_gpus(given)} of each node"
        )
        self.pace += f", each {where if given != 0 else 'on the CPU unless Slurm gives it GPUs unasked'}"

    def check(self) -> None:
        """Check that jobs can be submitted from this machine.

        Raises:
            UsageError: one of Slurm's commands is missing.
        """
        require_commands()

    def describe(self, directories: Sequence[JobDirectory], options: Options) -> str:
        """Return the batch scripts that a run would submit."""
        if not directories:
            return "nothing to submit to Slurm"
        submissions = Submissions.of(directories[0]).folder
        return describe_scripts(submissions, len(directories), options, self._sbatch_options, self._threads)

    def run(
        self,
        directories: Sequence[JobDirectory],
        options: Options,
        watch: Watch = unwatched,
        say: Callable[[str], None] = lambda line: None,
    ) -> dict[JobDirectory, str]:
        """Run every job in Slurm, and return when all are settled; an interrupt leaves them in Slurm."""
        return run_slurm(directories, options, self._sbatch_options, watch, say, self._threads)

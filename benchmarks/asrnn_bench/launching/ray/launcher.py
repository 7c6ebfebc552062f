"""Run jobs on a Ray cluster: the launcher ``ray``."""

from collections.abc import Callable, Sequence

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.handover import JOBS_PER_DEVICE_VARIABLE
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import Launcher, LaunchSettings
from asrnn_bench.launching.ray.cluster import check_ray, connected
from asrnn_bench.launching.ray.nodes import check_nodes
from asrnn_bench.launching.ray.tasks import MOST_TASKS, Tasks
from asrnn_bench.launching.slots import Slot, describe_slots, find_slots, require_gpus_of
from asrnn_bench.launching.watch import Watch, unwatched
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE, named_gpus


class RayLauncher(Launcher):
    """Runs each job as a Ray task. Without an address, it starts a cluster on this machine for the run alone."""

    at_a_time: int | None

    def __init__(self, settings: LaunchSettings, threads: int) -> None:
        check_ray(settings.ray_address)
        self._settings, self._threads = settings, threads
        self._slots: list[Slot] = []
        self.check_environment = {VISIBLE_VARIABLE: ""}
        if settings.ray_address is None:
            self._slots = find_slots(
                devices=settings.devices,
                jobs_per_device=settings.jobs_per_device,
                devices_per_job=settings.options.devices_per_job,
                threads=threads,
            )
            self.at_a_time, self.pace = len(self._slots), describe_slots(self._slots)
        elif settings.devices is None:
            self.at_a_time, self.pace = None, "as many at a time as Ray starts"
        else:
            self.at_a_time = max(1, self._most_tasks())
            self.pace = f"{self.at_a_time} at a time"

    def check(self) -> None:
        """Check that torch can compute on the GPUs of a cluster on this machine.

        Raises:
            DeviceError: it cannot.
        """
        if self._slots:
            require_gpus_of(self._slots)

    def run(
        self,
        directories: Sequence[JobDirectory],
        options: Options,
        watch: Watch = unwatched,
        say: Callable[[str], None] = lambda line: None,
    ) -> dict[JobDirectory, str]:
        """Run every job as a Ray task, and return when all are settled.

        Raises:
            UsageError: Ray cannot be reached, has no node for such jobs, or a node does not see their folder.
        """
        if not directories:
            return {}
        settings = self._settings
        gpus = len(named_gpus().names) if settings.ray_address is None else 0
        cpus = len(self._slots) * self._threads * settings.options.devices_per_job
        with connected(settings.ray_address, cpus, min(gpus, settings.devices or gpus)) as ray:
            share = check_nodes(ray, settings, self._threads, directories[0])
            environment = share.environment(self._threads)
            environment[JOBS_PER_DEVICE_VARIABLE] = str(settings.jobs_per_device)
            tasks = Tasks(ray, share, options, environment, directories, self._most_tasks())
            tasks.run(watch, say)
            return tasks.last_words

    def _most_tasks(self) -> int:
        """Return how many tasks Ray may have at a time."""
        devices, options = self._settings.devices, self._settings.options
        if devices is None:
            return MOST_TASKS
        return devices * self._settings.jobs_per_device // options.devices_per_job

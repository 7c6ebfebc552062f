"""Run jobs on a Ray cluster: the launcher ``ray``."""

from collections.abc import Callable, Sequence

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import Launcher, LaunchSettings
from asrnn_bench.launching.ray.cluster import RayRequest, check_ray
from asrnn_bench.launching.ray.tasks import run_ray
from asrnn_bench.launching.slots import describe_slots, find_slots, require_gpus_of
from asrnn_bench.launching.watch import Watch, unwatched
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE


class RayLauncher(Launcher):
    """Runs each job as a Ray task. Without an address, it starts a cluster on this machine for the run alone."""

    at_a_time: int | None

    def __init__(self, settings: LaunchSettings, threads: int) -> None:
        self._request = RayRequest(settings.ray_address, threads, settings.devices, settings.jobs_per_device)
        check_ray(self._request)
        self.check_environment = {VISIBLE_VARIABLE: ""}
        devices, devices_per_job = settings.devices, settings.options.devices_per_job
        self._slots = []
        if settings.ray_address is None:
            self._slots = find_slots(
                devices=devices,
                jobs_per_device=settings.jobs_per_device,
                devices_per_job=devices_per_job,
                threads=threads,
            )
            self.at_a_time, self.pace = len(self._slots), describe_slots(self._slots)
        elif devices is None:
            self.at_a_time, self.pace = None, "as many at a time as Ray starts"
        else:
            self.at_a_time = max(1, devices * settings.jobs_per_device // devices_per_job)
            self.pace = f"{self.at_a_time} at a time"

    def check(self) -> None:
        """Check that torch can compute on the GPUs of a cluster on this machine.

        Raises:
            DeviceError: it cannot.
        """
        require_gpus_of(self._slots)

    def run(
        self,
        directories: Sequence[JobDirectory],
        options: Options,
        watch: Watch = unwatched,
        say: Callable[[str], None] = lambda line: None,
    ) -> dict[JobDirectory, str]:
        """Run every job as a Ray task, and return when all are settled."""
        return run_ray(directories, options, self._request, watch, say)

"""Compute the share of a Ray node that a job takes, and check that the nodes can run jobs."""

from dataclasses import dataclass
from importlib import import_module
from math import ceil, floor
from pathlib import Path
from typing import Any

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.handover import DEVICES_VARIABLE
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.launching.ray.cluster import first_line
from asrnn_bench.launching.slots import THREAD_VARIABLES
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE

UNIT = 10_000
"""Ray counts in units of 1/10000. Shares are rounded down: a device would hold only six tasks of 0.1429."""

ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Share:
    """The GPUs and CPUs of a node that one job takes."""

    gpus: float
    cpus: float

    def __str__(self) -> str:
        return (
            f"{self.gpus:g} GPUs and {self.cpus:g} CPUs free for a job"
            if self.gpus
            else f"{self.cpus:g} CPUs for a job"
        )

    def fits(self, node: dict[str, Any]) -> bool:
        """Return whether an empty node could take the job."""
        there = node["Resources"]
        return bool(node["Alive"]) and there.get("GPU", 0.0) >= self.gpus and there.get("CPU", 0.0) >= self.cpus

    def environment(self, threads: int) -> dict[str, str]:
        """Return the variables that keep a worker within its share; Ray itself hides no GPUs from a job without any."""
        place = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {DEVICES_VARIABLE: str(ceil(self.gpus))}
        return place if self.gpus else place | {VISIBLE_VARIABLE: ""}


def share_of(settings: LaunchSettings, threads: int, *, has_gpus: bool) -> Share:
    """Return the share of a job: GPUs if the cluster has some, else cores.

    Args:
        settings: what the user asks for.
        threads: the threads of each process of a job.
        has_gpus: whether the cluster has GPUs.

    Raises:
        UsageError: jobs would share devices and take several, or take more devices than the run.
    """
    devices_per_job = settings.options.devices_per_job
    if settings.devices is not None and devices_per_job > settings.devices:
        raise UsageError(f"--devices-per-job {devices_per_job} is more than --devices {settings.devices}")
    if settings.jobs_per_device > 1 and devices_per_job > 1:
        raise UsageError("a job takes several devices or shares one: give --devices-per-job or --jobs-per-device")
    part = floor(UNIT / settings.jobs_per_device) / UNIT if settings.jobs_per_device > 1 else 1
    cores = threads * devices_per_job
    return Share(devices_per_job * part, cores) if has_gpus else Share(0, cores * part)


def check_nodes(ray: Any, settings: LaunchSettings, threads: int, first: JobDirectory) -> Share:
    """Return the share of a job, after a check of every node that could run one.

    Args:
        ray: the connected module.
        settings: what the user asks for.
        threads: the threads of each process of a job.
        first: a job directory, which every node must see.

    Raises:
        UsageError: no node is large enough, or a node does not see the job directory or cannot import this package.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    share = share_of(settings, threads, has_gpus=any(node["Resources"].get("GPU") for node in nodes))
    fitting = [node for node in nodes if share.fits(node)]
    if not fitting:
        raise UsageError(f"no node of the Ray cluster has {share}; ask for less with --devices-per-job or --threads")
    if settings.ray_address is not None:
        _check_sight(ray, fitting, first.path.absolute())
    return share


def room_for(ray: Any, share: Share) -> bool:
    """Return whether a node of the cluster could take a job, now or after other jobs have ended."""
    return any(share.fits(node) for node in ray.nodes())


def sees(path: str) -> bool:
    """Return whether this node sees a job directory, and not only an empty folder of that name."""
    return (Path(path) / "job.json").is_file()


def _check_sight(ray: Any, nodes: list[dict[str, Any]], path: Path) -> None:
    """Look for a job directory from every node at once, before any job fails because its folder is not shared."""
    pinned = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    asked = {
        ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=pinned(node["NodeID"], soft=False))(sees).remote(
            str(path)
        ): node["NodeManagerHostname"]
        for node in nodes
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)
    for reference in answered:
        try:
            seen = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise UsageError(
                f"the node {asked[reference]} cannot run asrnn-bench ({first_line(error.cause or error)}); "
                "start Ray on every node from the environment that this command runs in"
            ) from error
        except ray.exceptions.RayError:
            continue  # the node is gone, and Ray gives it no job
        if not seen:
            raise UsageError(
                f"the node {asked[reference]} does not see {path}; --output must name a folder that all nodes share"
            )

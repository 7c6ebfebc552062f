"""What of a Ray node a job takes, and whether the nodes can run jobs at all."""

from dataclasses import dataclass
from importlib import import_module
from math import ceil, floor
from pathlib import Path
from typing import Any

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.handover import DEVICES_VARIABLE
from asrnn_bench.launching.ray.cluster import RayRequest, first_line
from asrnn_bench.launching.slots import THREAD_VARIABLES
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE

UNIT = 10_000
"""Ray counts in ten thousandths: of seven tasks with a seventh each, rounded to the nearest, a device holds six."""

ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Share:
    """What of a node one job takes."""

    gpus: float
    cpus: float

    def __str__(self) -> str:
        return (
            f"{self.gpus:g} GPUs and {self.cpus:g} CPUs free for a job"
            if self.gpus
            else f"{self.cpus:g} CPUs for a job"
        )

    def fits(self, node: dict[str, Any]) -> bool:
        """Return whether a node could take it, were it empty."""
        there = node["Resources"]
        return bool(node["Alive"]) and there.get("GPU", 0.0) >= self.gpus and there.get("CPU", 0.0) >= self.cpus

    def environment(self, threads: int) -> dict[str, str]:
        """Return what keeps a worker within it; Ray names its GPUs, but leaves all in sight where it gives none."""
        place = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {DEVICES_VARIABLE: str(ceil(self.gpus))}
        return place if self.gpus else place | {VISIBLE_VARIABLE: ""}


def share_of(request: RayRequest, devices_per_job: int, *, has_gpus: bool) -> Share:
    """Return the share of a job: of GPUs where the cluster has some, else of cores.

    Raises:
        UsageError: jobs share a device and take several, or take more than the run may have.
    """
    if request.devices is not None and devices_per_job > request.devices:
        raise UsageError(f"--devices-per-job {devices_per_job} is more than --devices {request.devices}")
    if request.jobs_per_device > 1 and devices_per_job > 1:
        raise UsageError("a job takes several devices or shares one: give --devices-per-job or --jobs-per-device")
    part = floor(UNIT / request.jobs_per_device) / UNIT if request.jobs_per_device > 1 else 1
    cores = request.threads * devices_per_job
    return Share(devices_per_job * part, cores) if has_gpus else Share(0, cores * part)


def check_nodes(ray: Any, request: RayRequest, devices_per_job: int, first: JobDirectory) -> Share:
    """Return what a job takes, after a look at every node that could run one.

    Args:
        ray: the connected module.
        request: what was asked for.
        devices_per_job: how many devices one job takes.
        first: a job directory; every node must see it.

    Raises:
        UsageError: no node is large enough, or one does not see the folder of the jobs or cannot load this package.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    share = share_of(request, devices_per_job, has_gpus=any(node["Resources"].get("GPU") for node in nodes))
    fitting = [node for node in nodes if share.fits(node)]
    if not fitting:
        raise UsageError(f"no node of the Ray cluster has {share}; ask for less with --devices-per-job or --threads")
    if request.address is not None:
        _check_sight(ray, fitting, first.path.absolute())
    return share


def room_for(ray: Any, share: Share) -> bool:
    """Return whether a node of the cluster could take a job, now or when others have ended."""
    return any(share.fits(node) for node in ray.nodes())


def sees(path: str) -> bool:
    """Return whether this node sees a job directory, and not only one of the same name."""
    return (Path(path) / "job.json").is_file()


def _check_sight(ray: Any, nodes: list[dict[str, Any]], path: Path) -> None:
    """Look from every node at once, so that a folder that is not shared is found before any job fails of it."""
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
            continue  # a node that went away: Ray gives it no job either
        if not seen:
            raise UsageError(
                f"the node {asked[reference]} does not see {path}; --output must name a folder that all nodes share"
            )

"""Which launcher a run takes, made ready before any job is written: what it lacks is said at once."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from asrnn.errors import UnknownNameError, UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.local import run_local
from asrnn_bench.launching.slots import Slot, describe_slots, find_slots
from asrnn_bench.launching.watch import Launcher, Watch
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE, count_gpus, named_gpus
from asrnn_bench.worker.gpus import require_named

Run = Callable[[Sequence[JobDirectory], Options, Watch, Callable[[str], None]], dict[JobDirectory, str]]
Describe = Callable[[Sequence[JobDirectory], Options], str]


@dataclass(frozen=True)
class Launch:
    """A launcher that is ready to run jobs.

    ``at_a_time`` is the most jobs that it runs at once, ``None`` where a cluster decides that; ``pace`` says so in
    words. ``check_environment`` is what a process on this machine gets that looks at a model first; ``describe`` says
    what would be submitted, and ``check`` refuses a run, but no dry run, for want of what is needed on this machine.
    """

    run: Run
    at_a_time: int | None
    pace: str
    check_environment: Mapping[str, str] = field(default_factory=dict)
    describe: Describe | None = None
    check: Callable[[], None] = lambda: None


def choose_launch(
    launcher: Launcher,
    *,
    threads: int,
    devices: int | None,
    jobs_per_device: int,
    devices_per_job: int,
    nodes_per_job: int,
    slurm_options: Sequence[str],
    ray_address: str | None,
) -> Launch:
    """Return the launcher of a run.

    Raises:
        UsageError: it is unknown or not installed, or it cannot do what is asked for.
    """
    for flag, given, owner in (("--slurm-option", slurm_options, "slurm"), ("--ray-address", ray_address, "ray")):
        if given and launcher != owner:
            raise UsageError(f"{flag} is for --launcher {owner}, not for {launcher}")
    if nodes_per_job > 1 and launcher != "slurm":
        raise UsageError(f"--nodes-per-job is for --launcher slurm; {launcher} runs a job on one node: remove it")
    if launcher == "local":
        return _local(threads, devices, jobs_per_device, devices_per_job)
    if launcher == "slurm":
        if devices is not None or jobs_per_device > 1:
            raise UsageError(
                "Slurm shares out the devices: --slurm-option array_parallelism=N says how many jobs at a time"
            )
        return _slurm(threads, devices_per_job, nodes_per_job, slurm_options)
    return _ray(threads, devices, jobs_per_device, devices_per_job, ray_address)


def known_launcher(name: str) -> Launcher:
    """Return a launcher's name.

    Raises:
        UnknownNameError: there is none of that name.
    """
    for known in get_args(Launcher):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise UnknownNameError("launcher", name, get_args(Launcher))


def _local(threads: int, devices: int | None, jobs_per_device: int, devices_per_job: int) -> Launch:
    slots = find_slots(
        devices=devices, jobs_per_device=jobs_per_device, devices_per_job=devices_per_job, threads=threads
    )

    def run(
        todo: Sequence[JobDirectory], options: Options, watch: Watch, say: Callable[[str], None]
    ) -> dict[JobDirectory, str]:
        return run_local(todo, slots, options, watch, say)

    return Launch(
        run, len(slots), describe_slots(slots), dict(slots[0].environment), check=lambda: _require_gpus_of(slots)
    )


def _require_gpus_of(slots: Sequence[Slot]) -> None:
    """See that torch can compute on the GPUs of all slots.

    Raises:
        DeviceError: it cannot.
    """
    require_named(list(dict.fromkeys(name for slot in slots for name in slot.gpus)), named_gpus())


def _slurm(threads: int, devices_per_job: int, nodes_per_job: int, words: Sequence[str]) -> Launch:
    from asrnn_bench.launching.slurm.description import describe_slurm
    from asrnn_bench.launching.slurm.launcher import check_slurm, run_slurm
    from asrnn_bench.launching.slurm.request import SlurmRequest

    request = SlurmRequest.parse(words).with_defaults(os.environ)
    request.check_gpus(devices_per_job, nodes_per_job)

    def run(
        todo: Sequence[JobDirectory], options: Options, watch: Watch, say: Callable[[str], None]
    ) -> dict[JobDirectory, str]:
        return run_slurm(todo, options, request, watch, say)

    def describe(todo: Sequence[JobDirectory], options: Options) -> str:
        return describe_slurm(todo, options, request, threads)

    most = request.options.get("array_parallelism")
    pace = f"as many at a time as Slurm starts{f', {most} of an array at most' if most else ''}"
    given = request.gpus_per_node(nodes_per_job)
    where = "on the GPUs of its nodes, if they have any" if given is None else f"on {count_gpus(given)} of each node"
    pace += f", each {where if given != 0 else 'on the CPU unless Slurm gives it GPUs unasked'}"
    return Launch(run, int(most) if most else None, pace, {VISIBLE_VARIABLE: ""}, describe, check_slurm)


def _ray(threads: int, devices: int | None, jobs_per_device: int, devices_per_job: int, address: str | None) -> Launch:
    from asrnn_bench.launching.ray.cluster import RayRequest, check_ray
    from asrnn_bench.launching.ray.tasks import run_ray

    request = RayRequest(address, threads, devices, jobs_per_device)
    check_ray(request)

    def run(
        todo: Sequence[JobDirectory], options: Options, watch: Watch, say: Callable[[str], None]
    ) -> dict[JobDirectory, str]:
        return run_ray(todo, options, request, watch, say)

    if address is not None:
        most = None if devices is None else max(1, devices * jobs_per_device // devices_per_job)
        pace = "as many at a time as Ray starts" if most is None else f"{most} at a time"
        return Launch(run, most, pace, {VISIBLE_VARIABLE: ""})
    slots = find_slots(
        devices=devices, jobs_per_device=jobs_per_device, devices_per_job=devices_per_job, threads=threads
    )
    return Launch(run, len(slots), describe_slots(slots), {VISIBLE_VARIABLE: ""}, check=lambda: _require_gpus_of(slots))

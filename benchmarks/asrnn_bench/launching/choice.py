"""Choose the launcher of a run by its name."""

from importlib import import_module

from asrnn.errors import UnknownNameError, UsageError
from asrnn_bench.launching.launcher import Launcher, LaunchSettings

LAUNCHERS = {
    "local": "asrnn_bench.launching.local:LocalLauncher",
    "ray": "asrnn_bench.launching.ray.launcher:RayLauncher",
    "slurm": "asrnn_bench.launching.slurm.launcher:SlurmLauncher",
}
"""The class of each launcher, as ``module:class``; the module is imported for a run that uses the launcher."""


def choose_launcher(settings: LaunchSettings, threads: int) -> Launcher:
    """Return the launcher of a run.

    Args:
        settings: what the user asks for.
        threads: the threads of each process of a job.

    Raises:
        UsageError: the launcher is unknown or not installed, or it cannot do what the settings ask for.
    """
    name = known_launcher(settings.launcher)
    flags = (("--slurm-option", settings.slurm_options, "slurm"), ("--ray-address", settings.ray_address, "ray"))
    for flag, given, owner in flags:
        if given and name != owner:
            raise UsageError(f"{flag} is for --launcher {owner}, not for {name}")
    if settings.options.nodes_per_job > 1 and name != "slurm":
        raise UsageError(f"--nodes-per-job is for --launcher slurm; {name} runs a job on one node: remove it")
    module, _, launcher = LAUNCHERS[name].partition(":")
    made: Launcher = getattr(import_module(module), launcher)(settings, threads)
    return made


def known_launcher(name: str) -> str:
    """Return a launcher's name.

    Raises:
        UnknownNameError: there is no launcher of that name.
    """
    if name not in LAUNCHERS:
        raise UnknownNameError("launcher", name, list(LAUNCHERS))
    return name

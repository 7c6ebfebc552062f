"""Slurm's own commands, as far as a runner needs them; none of them needs accounting."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from asrnn.errors import UsageError
from asrnn_bench.launching.slurm.request import OURS, VARIABLES, option_of

COMMAND_SECONDS = 20.0
"""A controller that takes longer is not waited for; the next look finds out."""

OVER = frozenset(
    (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED"),
        *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    )
)
"""The states from which a job does not come back by itself."""

LAUNCH_FAILED = "launch failed requeued held"
"""Why a job waits for ever whose node was lost while it was being started there."""

USUAL_REASONS = frozenset(
    ["None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Dependency", "Cleaning", "Prolog"]
)
"""Why a job waits in the course of things; any other reason is shown to the user."""

KEPT_VARIABLES = ("SLURM_CLUSTERS", "SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
"""Where Slurm is, and who asks."""

HIDDEN = ("SLURM_", "SRUN_", "SQUEUE_", "SCANCEL_")

_QUEUED = re.compile(r"([^|]+)\|(\d+|N/A)\|(\d\S*)\|([A-Z_]+)\|(.*)")
_STATE = re.compile(r"[A-Z_]+")

DEFAULT_MAX_ARRAY_SIZE = 1001
LONGEST_ARRAY = 1000
"""A file for each job is written before an array is submitted, so larger ones keep a run from starting."""

Task = tuple[str, int]
"""A job as the run knows it: the name of its submission, and its index there. Slurm's numbers can start again."""


@dataclass(frozen=True)
class Seen:
    """One job in Slurm's memory: its number, its state, and why it waits."""

    number: str
    state: str
    reason: str

    @property
    def is_stuck(self) -> bool:
        """Whether it is in the queue and will never be started."""
        return self.state == "PENDING" and self.reason == LAUNCH_FAILED

    @property
    def is_over(self) -> bool:
        """Whether nothing comes of it any more."""
        return self.state in OVER or self.is_stuck

    @property
    def word(self) -> str:
        """Slurm's own for what became of it."""
        return self.reason if self.is_stuck else self.state

    @property
    def its_own_fault(self) -> bool:
        """Whether its processes failed, and not a node, a limit or a person."""
        return self.state == "FAILED" and self.reason.startswith(("NonZeroExit", "RaisedSignal", "None"))


def require_commands() -> None:
    """Check that this machine can submit jobs.

    Raises:
        UsageError: one of Slurm's commands is missing.
    """
    for name in ("sbatch", "squeue", "scontrol", "scancel", "srun"):
        if shutil.which(name) is None:
            raise UsageError(
                f"--launcher slurm needs Slurm's commands, and there is no '{name}' here: "
                "start the run on a login node of the cluster"
            )


def longest_array() -> int:
    """Return how many jobs one array may hold, by the cluster's configuration or Slurm's default."""
    said = _answer(["scontrol", "show", "config"]) or ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    size = int(found[1]) if found else DEFAULT_MAX_ARRAY_SIZE
    return max(1, min(size, LONGEST_ARRAY))


def look(names: Sequence[str]) -> dict[Task, Seen] | None:
    """Return what Slurm knows of the submissions of these names; ``None`` where it does not answer.

    ``squeue`` shows what waits and runs, and for some minutes what has ended.
    """
    if not names:
        return {}
    # --all: or jobs of hidden partitions, and of those that are closed to this user, are left out.
    shown = ["--all", "--noheader", "--array", "--states=all", "--format=%j|%K|%i|%T|%r"]
    said = _answer(["squeue", *shown, f"--name={','.join(names)}"])
    return None if said is None else dict(_read_queue(said))


def _read_queue(text: str) -> Iterator[tuple[Task, Seen]]:
    """Yield the jobs of squeue's lines; one that is no array has no index, and a site's banner is no job."""
    for line in text.splitlines():
        matched = _QUEUED.fullmatch(line.strip())
        if matched is not None:
            name, index, number, state, reason = matched.groups()
            yield (name, int(index) if index.isdecimal() else 0), Seen(number, state, reason)


def state_of(number: str) -> str | None:
    """Return Slurm's word for the state of one job; ``None`` where it does not answer."""
    said = _answer(["squeue", "--all", "--noheader", "--states=all", f"--jobs={number}", "--format=%T"])
    return next((line.strip() for line in (said or "").splitlines() if _STATE.fullmatch(line.strip())), None)


def requeue(number: str) -> bool:
    """Ask Slurm to start a job again from its queue, and return whether it will."""
    return _answer(["scontrol", "requeue", number]) is not None


def cancel(numbers: Sequence[str]) -> None:
    """Take jobs out of the queue."""
    if numbers:
        _answer(["scancel", *numbers])


def own_number() -> str | None:
    """Return the number of the Slurm job that this process is in, as scontrol takes it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}" if array else os.environ.get("SLURM_JOB_ID")


def command_environment(variables: Mapping[str, str], options: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of one of Slurm's commands.

    Neither the Slurm job around this process, whose limits what is submitted would take over, nor what a user has set
    for their own eyes: ``SQUEUE_PARTITION`` hides jobs, and ``SBATCH_JOB_NAME`` wins over the name by which a job is
    found again.

    Args:
        variables: those of this process.
        options: what sbatch is asked for in so many words, which its variables must not change.
    """
    found = {
        name: value
        for name, value in variables.items()
        if name in KEPT_VARIABLES
        or not (name.startswith(HIDDEN) or (name.startswith(VARIABLES) and option_of(name) in (*OURS, *options)))
    }
    if f"{VARIABLES}CLUSTERS" in variables:  # sbatch's own, which the other commands do not know
        found.setdefault("SLURM_CLUSTERS", variables[f"{VARIABLES}CLUSTERS"])
    return found


@contextmanager
def outside_of_slurm(options: Collection[str] = ()) -> Iterator[None]:
    """Give this process the environment of :func:`command_environment` for a while."""
    before = dict(os.environ)
    wanted = command_environment(before, options)
    changed = {name for name in {*before, *wanted} if before.get(name) != wanted.get(name)}
    for name in changed:
        os.environ.pop(name, None)
    os.environ.update({name: wanted[name] for name in changed if name in wanted})
    try:
        yield
    finally:
        for name in changed:
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in changed if name in before})


def _answer(words: list[str]) -> str | None:
    """Return what a command prints; ``None`` where it fails, is missing or takes too long."""
    try:
        ended = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
            env=command_environment(os.environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None


def count_jobs(count: int) -> str:
    """Return a number of jobs in words."""
    return f"{count} job{'s' * (count != 1)}"

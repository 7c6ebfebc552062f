"""Call Slurm's commands and read their output. None of them needs Slurm's accounting."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from asrnn.errors import UsageError
from asrnn_bench.launching.slurm.sbatch_options import SET_BY_RUN, VARIABLE_PREFIX, option_of

COMMAND_SECONDS = 20.0
"""How long a command may take. After that it counts as not answered, and the next look asks again."""

FINAL_STATES = frozenset(
    (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED"),
        *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    )
)
"""The states of a job that Slurm does not start again by itself."""

LAUNCH_FAILED = "launch failed requeued held"
"""Slurm's reason for holding a job whose node was lost during its start. Such a job waits for ever."""

USUAL_REASONS = frozenset(
    ["None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Dependency", "Cleaning", "Prolog"]
)
"""Slurm's usual reasons for letting a job wait. Any other reason is shown to the user."""

CLUSTER_VARIABLES = ("SLURM_CLUSTERS", "SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
"""Variables that tell Slurm's commands which cluster to ask and as which user."""

HIDDEN_PREFIXES = ("SLURM_", "SRUN_", "SQUEUE_", "SCANCEL_")
"""The first letters of variables that Slurm's commands do not get."""

_QUEUED = re.compile(r"([^|]+)\|(\d+|N/A)\|(\d\S*)\|([A-Z_]+)\|(.*)")
_STATE = re.compile(r"[A-Z_]+")

DEFAULT_MAX_ARRAY_SIZE = 1001
LONGEST_ARRAY = 1000
"""The most jobs in one array. submitit writes a file for each of them, so a longer array delays the start."""

Task = tuple[str, int]
"""An array task: the unique name of its submission, and its index. Slurm's job IDs can start again from 1."""


@dataclass(frozen=True)
class QueueEntry:
    """One job as ``squeue`` lists it: its job ID, its state, and the reason for which it waits or failed."""

    number: str
    state: str
    reason: str

    @property
    def is_stuck(self) -> bool:
        """Whether it waits in the queue and Slurm will never start it."""
        return self.state == "PENDING" and self.reason == LAUNCH_FAILED

    @property
    def is_over(self) -> bool:
        """Whether Slurm will not run it any further."""
        return self.state in FINAL_STATES or self.is_stuck

    @property
    def word(self) -> str:
        """Slurm's word for how it ended."""
        return self.reason if self.is_stuck else self.state

    @property
    def is_own_failure(self) -> bool:
        """Whether its own processes failed. If not, a node, a limit or a person ended it."""
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
    """Return how many jobs one array may hold: the cluster's ``MaxArraySize``, at most :data:`LONGEST_ARRAY`."""
    said = _answer(["scontrol", "show", "config"]) or ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    size = int(found[1]) if found else DEFAULT_MAX_ARRAY_SIZE
    return max(1, min(size, LONGEST_ARRAY))


def read_queue(names: Sequence[str]) -> dict[Task, QueueEntry] | None:
    """Return the jobs of the named submissions as ``squeue`` lists them; ``None`` if it does not answer.

    ``squeue`` lists jobs that wait or run and, for some minutes, jobs that have ended.
    """
    if not names:
        return {}
    # Without --all, squeue leaves out the jobs of partitions that are hidden from or closed to this user.
    shown = ["--all", "--noheader", "--array", "--states=all", "--format=%j|%K|%i|%T|%r"]
    said = _answer(["squeue", *shown, f"--name={','.join(names)}"])
    return None if said is None else dict(_parse_queue(said))


def _parse_queue(text: str) -> Iterator[tuple[Task, QueueEntry]]:
    """Yield the jobs in the output of squeue. A job outside of arrays gets index 0; a site's banner is skipped."""
    for line in text.splitlines():
        matched = _QUEUED.fullmatch(line.strip())
        if matched is not None:
            name, index, number, state, reason = matched.groups()
            yield (name, int(index) if index.isdecimal() else 0), QueueEntry(number, state, reason)


def state_of(number: str) -> str | None:
    """Return the state of a job, such as ``RUNNING``; ``None`` if Slurm does not answer."""
    said = _answer(["squeue", "--all", "--noheader", "--states=all", f"--jobs={number}", "--format=%T"])
    return next((line.strip() for line in (said or "").splitlines() if _STATE.fullmatch(line.strip())), None)


def requeue(number: str) -> bool:
    """Put a running job back into the queue, and return whether Slurm accepts that."""
    return _answer(["scontrol", "requeue", number]) is not None


def cancel(numbers: Sequence[str]) -> None:
    """Cancel jobs."""
    if numbers:
        _answer(["scancel", *numbers])


def own_job_id() -> str | None:
    """Return the ID of the Slurm job that runs this process, as ``scontrol`` takes it; ``None`` outside of Slurm."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}" if array else os.environ.get("SLURM_JOB_ID")


def command_environment(variables: Mapping[str, str], options: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of one of Slurm's commands.

    It leaves out the variables of a Slurm job that runs this process, because a submitted job would inherit the limits
    of that job. It also leaves out the user's own settings that would change what the commands do:
    ``SQUEUE_PARTITION`` hides jobs, and ``SBATCH_JOB_NAME`` replaces the name by which the run finds its jobs.

    Args:
        variables: the variables of this process.
        options: options that the batch script sets, so that their ``SBATCH_`` variables must not override them.
    """
    found = {
        name: value
        for name, value in variables.items()
        if name in CLUSTER_VARIABLES
        or not (
            name.startswith(HIDDEN_PREFIXES)
            or (name.startswith(VARIABLE_PREFIX) and option_of(name) in (*SET_BY_RUN, *options))
        )
    }
    if f"{VARIABLE_PREFIX}CLUSTERS" in variables:  # the other commands do not read SBATCH_CLUSTERS
        found.setdefault("SLURM_CLUSTERS", variables[f"{VARIABLE_PREFIX}CLUSTERS"])
    return found


@contextmanager
def outside_of_slurm(options: Collection[str] = ()) -> Iterator[None]:
    """Give this process the environment of :func:`command_environment` within the ``with`` block."""
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
    """Return what a command prints; ``None`` if it fails, is missing or takes too long."""
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
    """Return a number of jobs for a message, such as ``2 jobs``."""
    return f"{count} job{'s' * (count != 1)}"

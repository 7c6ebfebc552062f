"""Call Slurm's commands and read their output. None of them needs Slurm's accounting."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrnn.errors import UsageError
from asrnn_bench.launching.slurm.sbatch_options import (
    READ_FROM_ENVIRONMENT,
    SET_BY_RUN,
    VARIABLE_PREFIX,
    option_of,
)

SUBMIT_SECONDS = 300.0
"""How long ``sbatch`` may take. After that it counts as not answered; the queue tells whether it was accepted.

While Slurm takes no more jobs, ``sbatch`` itself tries again for 120 s before it gives up."""

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
_SUBMITTED = re.compile(r"(\d+)(;.*)?")
_LATE = re.compile("timed out|Zero Bytes|receive failure|I/O error|reset by peer|Broken pipe", re.IGNORECASE)
"""Errors after which the controller may have accepted the submission, although sbatch got no answer."""

DEFAULT_MAX_ARRAY_SIZE = 1001

Task = tuple[str, int]
"""An array task: the unique name of its submission, and its index. Slurm's job IDs can start again from 1."""


class RefusedError(Exception):
    """``sbatch`` refused a submission; the message is that of ``sbatch``."""


class UnansweredError(Exception):
    """``sbatch`` got no answer. The submission was accepted if the queue lists its name later.

    Args:
        name: the name of the submission.
        said: the message of ``sbatch``.
    """

    def __init__(self, name: str, said: str) -> None:
        super().__init__(said)
        self.name = name


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
    """Return how many jobs one array may hold: the cluster's ``MaxArraySize``, or Slurm's default of it."""
    said = _answer(["scontrol", "show", "config"]) or ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    return max(1, int(found[1])) if found else DEFAULT_MAX_ARRAY_SIZE


def submit(name: str, script: Path, options: Collection[str]) -> str:
    """Submit a batch script, and return its job ID.

    Args:
        name: the name of the submission.
        script: the batch script.
        options: the options of sbatch in the script, by their long names.

    Raises:
        RefusedError: ``sbatch`` refuses it.
        UnansweredError: ``sbatch`` got no answer, or printed no job ID.
        OSError: ``sbatch`` cannot be started.
    """
    # Variables such as SBATCH_GRES are options of the script already, unless the user gave others in their place.
    in_script = {key.replace("-", "_") for key in options} | set(READ_FROM_ENVIRONMENT)
    variables = command_environment(os.environ, in_script)
    try:
        ended = _run(["sbatch", "--parsable", str(script)], SUBMIT_SECONDS, variables)
    except subprocess.TimeoutExpired as error:
        if b"retrying" in (error.stderr or b""):  # bytes, although the output is text
            raise RefusedError("Slurm takes no more jobs at the moment") from error
        raise UnansweredError(name, f"no answer in {SUBMIT_SECONDS:.0f} s") from error
    said = _one_line(ended.stderr or ended.stdout)
    if ended.returncode != 0:
        raise UnansweredError(name, said) if _LATE.search(said) else RefusedError(said)
    found = [matched[1] for line in ended.stdout.splitlines() if (matched := _SUBMITTED.fullmatch(line.strip()))]
    if not found:
        raise UnansweredError(name, said)
    return found[-1]


def _one_line(text: str) -> str:
    """Return the message of sbatch on one line, without the name ``sbatch:`` before each line."""
    lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines)))[:500] or "it gave no reason"


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


def _answer(words: list[str]) -> str | None:
    """Return what a command prints; ``None`` if it fails, is missing or takes too long."""
    try:
        ended = _run(words, COMMAND_SECONDS, command_environment(os.environ))
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None


def _run(words: list[str], seconds: float, variables: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words, capture_output=True, text=True, errors="replace", check=False, timeout=seconds, env=variables
    )


def count_jobs(count: int) -> str:
    """Return a number of jobs for a message, such as ``2 jobs``."""
    return f"{count} job{'s' * (count != 1)}"

"""Write the batch script of a job array. A dry run shows the same script, and needs no Slurm."""

import shlex
import sys
from pathlib import Path

from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slots import THREAD_VARIABLES
from asrnn_bench.launching.slurm.commands import count_jobs, longest_array
from asrnn_bench.launching.slurm.sbatch_options import DEFAULT_MEMORY_GIB, MEMORY_KEYS, SbatchOptions

NAME_PREFIX = "asrnn-bench-"
JOBS_FILE = "jobs.txt"
"""The file with one job directory a line, relative to the output folder, in the order of the array tasks."""

OPTIONS_FILE = "options.json"
"""The file with the options of all jobs."""

UNASKED_GPUS = '[ "${SLURM_GPUS_ON_NODE:-0}" = 0 ] || export SLURM_GPUS_PER_NODE=$SLURM_GPUS_ON_NODE'
"""Ask srun for the GPUs of an exclusive node: srun passes on only GPUs that were asked for."""


def batch_script(folder: Path, count: int, options: Options, sbatch_options: SbatchOptions, threads: int) -> str:
    """Return the script of an array, whose tasks each supervise one job.

    Args:
        folder: the folder of the submission, ``<output>/.slurm/<name>``, which has :data:`JOBS_FILE`.
        count: how many jobs the array has.
        options: how each job runs.
        sbatch_options: options that the user gives.
        threads: the threads of each process.
    """
    output = folder / ("%A_%a.log" if count > 1 else "%j.log")
    asked = batch_options(count, options, sbatch_options, threads) | {"job-name": folder.name, "output": str(output)}
    lines = [f"#SBATCH --{key}" + (f"={shlex.quote(value)}" if value else "") for key, value in sorted(asked.items())]
    variables = [f"{name}={threads}" for name in THREAD_VARIABLES]
    # -P keeps the folder in which the run was started off the import path of the jobs.
    python = [sys.executable, "-P", "-u", "-m", "asrnn_bench.launching.slurm.task", str(folder / OPTIONS_FILE)]
    python += ["--gpus"] if sbatch_options.asks_for_gpus else []
    job = f'"$(sed -n "$((${{SLURM_ARRAY_TASK_ID:-0}} + 1))p" {shlex.quote(str(folder / JOBS_FILE))})"'
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",  # srun of 22.05 to 23.02 does not inherit it
            *([] if sbatch_options.asks_for_gpus else [UNASKED_GPUS]),
            f"job={shlex.quote(str(folder.parents[1]))}/{job}",
            f'srun --unbuffered --nodes=1 --ntasks=1 {shlex.join(["env", *variables, *python])} "$job"',
            "",
        ]
    )


def batch_options(count: int, options: Options, sbatch_options: SbatchOptions, threads: int) -> dict[str, str]:
    """Return the options of sbatch, by their long names, except those that depend on the folder of the submission."""
    several = options.nodes_per_job > 1
    asked = {key.replace("_", "-"): value for key, value in sbatch_options.options.items()}
    at_a_time = min(count, int(asked.pop("array-parallelism", count)))
    found = {
        "cpus-per-task": str(threads * (1 if several else options.devices_per_job)),
        "export": "ALL",
        "nodes": str(options.nodes_per_job),
        "ntasks-per-node": str(options.devices_per_job if several else 1),
        "open-mode": "append",
        "requeue": "",
        "signal": f"USR2@{sbatch_options.notice_seconds()}",
    }
    if count > 1:
        found["array"] = f"0-{count - 1}%{at_a_time}"
    if not any(key in sbatch_options.options for key in MEMORY_KEYS):
        found["mem"] = f"{DEFAULT_MEMORY_GIB * options.devices_per_job}G"
    return found | asked


def describe_scripts(
    submissions: Path, jobs: int, options: Options, sbatch_options: SbatchOptions, threads: int
) -> str:
    """Return the batch scripts that a run would submit, one for each length of array.

    Args:
        submissions: the folder of the submissions.
        jobs: how many jobs the run would submit.
        options: how each job runs.
        sbatch_options: options that the user gives.
        threads: the threads of each process.
    """
    size = longest_array()
    counts = [min(size, jobs - start) for start in range(0, jobs, size)]
    scripts = []
    for count in dict.fromkeys(counts):
        times = counts.count(count)
        script = batch_script(submissions / f"{NAME_PREFIX}...", count, options, sbatch_options, threads)
        lines = "".join(f"\n  {line}" for line in script.splitlines())
        scripts.append(f"{times} submission{'s' * (times > 1)} of {count_jobs(count)}:{lines}")
    return "\n".join(scripts)

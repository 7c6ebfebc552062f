"""Describe the batch scripts that a run would submit, for ``--dry-run``. This needs neither Slurm nor submitit."""

import shlex
from collections.abc import Sequence
from typing import Any

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.commands import count_jobs, longest_array
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions
from asrnn_bench.launching.slurm.submission import NAME_PREFIX, PYTHON, Submissions, script_parameters


def describe_slurm(
    directories: Sequence[JobDirectory], options: Options, sbatch_options: SbatchOptions, threads: int
) -> str:
    """Return the batch scripts that a run would submit, one for each length of array.

    Args:
        directories: the jobs to run; the folders need not exist.
        options: how each job runs.
        sbatch_options: options of sbatch.
        threads: the threads of a job.
    """
    if not directories:
        return "nothing to submit to Slurm"
    folder = Submissions.of(directories[0]).folder / f"{NAME_PREFIX}..."
    size = longest_array()
    counts = [min(size, len(directories) - start) for start in range(0, len(directories), size)]
    scripts = []
    for count in dict.fromkeys(counts):
        times, parameters = counts.count(count), script_parameters(folder.name, count, options, sbatch_options, threads)
        jobs = f"{times} submission{'s' * (times > 1)} of {count_jobs(count)}"
        srun = ["srun", "--unbuffered", *parameters["srun_args"]]
        command = f"{PYTHON} -u -m submitit.core._submit {shlex.quote(str(folder))}"
        lines = [*sbatch_lines(parameters, count), *parameters["setup"], f"{shlex.join(srun)} {command}"]
        scripts.append(f"{jobs}:\n" + "\n".join(f"  {line}" for line in lines))
    return "\n".join(scripts)


def sbatch_lines(parameters: dict[str, Any], count: int) -> list[str]:
    """Return the ``#SBATCH`` lines that submitit writes for its parameters, without those for its output files."""
    found = dict(parameters["additional_parameters"])
    found |= {"job-name": parameters["job_name"], "nodes": parameters["nodes"], "open-mode": "append"}
    if count > 1:
        found["array"] = f"0-{count - 1}%{min(count, parameters['array_parallelism'])}"
    return [
        f"#SBATCH --{name}" + ("" if value is True else f"={shlex.quote(str(value))}")
        for name, value in sorted(found.items())
    ]

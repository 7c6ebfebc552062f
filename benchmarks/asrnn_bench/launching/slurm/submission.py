"""Submit jobs to Slurm as job arrays. Each submission has its folder, ``<output>/.slurm/<name>``.

Each submission has a new name, by which the queue is searched: Slurm can use job IDs again.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from asrnn.errors import UsageError
from asrnn_bench.files.writing import replace
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.batch_script import JOBS_FILE, NAME_PREFIX, OPTIONS_FILE, batch_options, batch_script
from asrnn_bench.launching.slurm.commands import RefusedError, Task, submit
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions


@dataclass(frozen=True)
class Submissions:
    """The submissions of one output folder."""

    output: Path

    @classmethod
    def of(cls, directory: JobDirectory) -> "Submissions":
        """Return the submissions of the output folder of a job directory.

        Raises:
            UsageError: the path has characters that Slurm reads as a pattern.
        """
        output = directory.path.resolve().parents[3]  # <output>/<suite>/<task>/<model>/seed-...
        if "%" in str(output) or "\\" in str(output):
            raise UsageError(f"Slurm cannot write to {output}: name an --output without '%' and '\\'")
        return cls(output)

    @property
    def folder(self) -> Path:
        """The folder of all submissions."""
        return self.output / ".slurm"

    def tasks(self) -> dict[Path, list[Task]]:
        """Return all array tasks of each job directory, of the submissions whose folders still exist."""
        found: dict[Path, list[Task]] = {}
        for file in sorted(self.folder.glob(f"{NAME_PREFIX}*/{JOBS_FILE}")):
            for index, path in enumerate(file.read_text(encoding="utf-8").splitlines()):
                found.setdefault(self.output / path, []).append((file.parent.name, index))
        return found

    def remove(self, names: Iterable[str]) -> None:
        """Remove the folders of submissions that have no job in the queue any more."""
        for name in names:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def submit(
        self, directories: Sequence[JobDirectory], options: Options, sbatch_options: SbatchOptions, threads: int
    ) -> tuple[str, str]:
        """Submit jobs as one array, and return the name of the submission and its job ID.

        Raises:
            RefusedError: ``sbatch`` refuses it.
            UnansweredError: ``sbatch`` got no answer, or printed no job ID.
            OSError: the folder of the submission cannot be written.
        """
        name = f"{NAME_PREFIX}{uuid4().hex[:12]}"
        folder = self.folder / name
        folder.mkdir(parents=True)
        paths = [str(directory.path.resolve().relative_to(self.output)) for directory in directories]
        replace(folder / JOBS_FILE, "".join(f"{path}\n" for path in paths))
        replace(folder / OPTIONS_FILE, options.model_dump_json() + "\n")
        script = folder / "batch.sh"
        replace(script, batch_script(folder, len(paths), options, sbatch_options, threads))
        try:
            return name, submit(name, script, batch_options(len(paths), options, sbatch_options, threads))
        except RefusedError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

"""Write and read the files that define a job: ``job.json``, and the file of its model."""

from hashlib import sha256
from pathlib import Path

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.reading import UnreadableError, read_file
from asrnn_bench.files.writing import holds, replace
from asrnn_bench.records.job import Job
from asrnn_bench.records.texts import job_text, read_job

NAME = "job.json"


def write_job(folder: Path, job: Job, model_file: Path | None = None) -> bool:
    """Write a job, and the file that defines its model, unless they are there already.

    Args:
        folder: the job directory.
        job: the job.
        model_file: the file that defines its model, if a file does.

    Returns:
        whether the directory is new, so that there can be no attempts and no result.

    Raises:
        UsageError: the directory cannot be written, or the model's file changed since the job was planned.
    """
    try:
        is_new = wait_out(lambda: _make(folder))
        wait_out(lambda: _write_files(folder, job, model_file))
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}; choose another --output or mend its permissions"
        ) from error
    return is_new


def read_job_of(folder: Path) -> Job:
    """Return the job of a job directory.

    Raises:
        UsageError: there is none, it is damaged, or the directory has the name of another job.
        OSError: the file system fails in a way that may pass.
    """
    file = folder / NAME
    try:
        job = read_job(read_file(file))
    except OSError as error:
        if is_passing(error):
            raise
        raise UsageError(f"{folder} is not a job directory: it has no readable {NAME}") from error
    except UnreadableError as error:
        raise UsageError(f"{file}: {error}; run its suite again, which mends it") from error
    if not folder.name.endswith(job.key[:12]):
        raise UsageError(f"{file}: it was altered; run its suite again, which mends it")
    return job


def model_path(folder: Path, job: Job) -> Path:
    """Return the path of the file that defines the model of a job."""
    return folder / "model" / job.model.target.rpartition(":")[0]


def _make(folder: Path) -> bool:
    """Make a directory, unless it exists, and return whether this process made it."""
    try:
        folder.mkdir(parents=True)
    except OSError:
        if not folder.is_dir():
            raise
        return False
    return True


def _write_files(folder: Path, job: Job, model_file: Path | None) -> None:
    if model_file is not None:
        _write_model(model_path(folder, job), job, model_file)
    text = job_text(job)
    if not holds(folder / NAME, text):
        # Not flushed: the runner flushes once for all jobs, and writes a job that a power cut took again.
        replace(folder / NAME, text, durable=False)


def _write_model(target: Path, job: Job, model_file: Path) -> None:
    content = model_file.read_bytes()
    if sha256(content).hexdigest() != job.model.code.get("sha256"):
        raise UsageError(f"{model_file} changed while the run was being planned; start it again")
    target.parent.mkdir(exist_ok=True)
    if not target.exists() or target.read_bytes() != content:
        replace(target, content)

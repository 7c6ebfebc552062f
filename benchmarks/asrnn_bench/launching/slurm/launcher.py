"""The Slurm launcher: submits job arrays, and watches job directories and the queue until every job is settled.

The directories are the truth. The queue only says which jobs Slurm still has; one that it no longer has and whose
directory holds no end is submitted again. Accounting is not needed. Jobs go on without the runner: the next one finds
them in the queue.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import wait_out
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.commands import (
    USUAL_REASONS,
    Seen,
    Task,
    cancel,
    count_jobs,
    longest_array,
    look,
    require_commands,
)
from asrnn_bench.launching.slurm.folder import name_tasks
from asrnn_bench.launching.slurm.job import SlurmJob
from asrnn_bench.launching.slurm.request import SlurmRequest
from asrnn_bench.launching.slurm.submission import RefusedError, Submissions, UnansweredError
from asrnn_bench.launching.watch import Watch, unwatched

LOOK_SECONDS = 5.0
DIRECTORIES_A_SECOND = 200
"""How many job directories are looked at: a file server of a cluster has others to serve."""

WATCH_SECONDS = 0.2
END_SECONDS = 10.0
"""What a supervisor needs of Slurm's notice to kill a worker that does not end, and to write that down."""

REFUSED_SECONDS = 30.0
"""How long to wait after ``sbatch`` refused a job, such as one above a user's limit."""


def run_slurm(
    directories: Iterable[JobDirectory],
    options: Options,
    request: SlurmRequest,
    watch: Watch = unwatched,
    say: Callable[[str], None] = lambda line: None,
) -> dict[JobDirectory, str]:
    """Run every job in Slurm, and return when all are settled. An interrupt leaves them in Slurm and is raised again.

    Args:
        directories: the jobs, in the order in which they are submitted; all of one run.
        options: how each is run.
        request: options of sbatch.
        watch: called a few times a second.
        say: takes a line for the user.

    Returns:
        for each job whose directory could not be read, why it was left to itself.

    Raises:
        UsageError: Slurm or submitit is missing or does not answer, or ``sbatch`` refuses the jobs.
    """
    jobs = [SlurmJob(directory) for directory in directories]
    if not jobs:
        return {}
    check_slurm()
    grace = max(options.grace_seconds, request.notice_seconds() - END_SECONDS)  # all of Slurm's notice is there to save
    launcher = _Launcher(jobs, options.model_copy(update={"grace_seconds": grace}), request, say)
    try:
        launcher.find_in_queue()
        while launcher.step():
            deadline = time.monotonic() + max(LOOK_SECONDS, len(launcher.jobs) / DIRECTORIES_A_SECOND)
            watch()
            while time.monotonic() < deadline:
                time.sleep(WATCH_SECONDS)
                watch()
    except UsageError:
        raise
    except BaseException:
        launcher.say_goodbye()
        raise
    return launcher.last_words


def check_slurm() -> None:
    """Check that jobs can be submitted from here.

    Raises:
        UsageError: Slurm's commands or submitit are missing; the message says what to do.
    """
    require_commands()
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise UsageError('--launcher slurm needs submitit: pip install ".[slurm]" in the sources') from error


def _threads_of(jobs: list[SlurmJob]) -> int:
    """Return the threads of the jobs of a run, which are the same for all, from the first that can be read.

    Raises:
        UsageError: none can be read.
    """
    reason, patience = "", None
    for job in jobs:
        try:
            return wait_out(job.directory.job, patience).threads
        except (OSError, UsageError) as error:
            reason, patience = str(error), 0.0
    raise UsageError(f"no job can be read: {reason}")


class _Launcher:
    """The jobs of one run that are not settled, and what was done about them."""

    def __init__(
        self, jobs: list[SlurmJob], options: Options, request: SlurmRequest, say: Callable[[str], None]
    ) -> None:
        self.jobs, self.options, self.request, self.say = jobs, options, request, say
        self.submissions = Submissions.of(jobs[0].directory)
        self.threads = _threads_of(jobs)
        self._size = self._longest = longest_array()
        self.numbers: dict[str, str] = {}  # Slurm's, of each submission that was accepted or found
        self._unanswered: set[str] = set()  # submissions whose number nobody said
        self._not_before = 0.0
        self._said: set[str] = set()
        self.last_words: dict[JobDirectory, str] = {}

    def find_in_queue(self) -> None:
        """Find the jobs that an earlier runner left in Slurm, and clear away the submissions that are over.

        Raises:
            UsageError: Slurm or the folder of submissions does not answer, so that nobody knows what it has.
        """
        try:
            tasks = wait_out(self.submissions.tasks)
        except OSError as error:
            folder = self.submissions.folder
            raise UsageError(f"{folder} cannot be read: {error.strerror}; start the run again when it can") from error
        names = {name for found in tasks.values() for name, _ in found}
        queue = look(sorted(names))
        if queue is None:
            raise UsageError("Slurm does not answer: 'squeue' fails here; start the run again when it does")
        cancel([seen.number for seen in queue.values() if seen.is_stuck])
        alive = {task: seen for task, seen in queue.items() if not seen.is_over}
        for job in self.jobs:
            job.task = next((task for task in tasks.get(job.directory.path.resolve(), []) if task in alive), None)
        self.submissions.remove(names - {name for name, _ in alive})
        found = [job.task for job in self.jobs if job.task]
        self._note_numbers({task: alive[task] for task in found})
        if found:
            self.say(f"in Slurm already, as {self._list_numbers()}, and not submitted again: {count_jobs(len(found))}")

    def step(self) -> bool:
        """Look once at directories and queue, submit what is to run, and return whether jobs are left."""
        queue = look(sorted({job.task[0] for job in self.jobs if job.task}))
        if queue is None:
            self._say_once("Slurm does not answer; its jobs go on, and the run waits for it")
            self.jobs = [job for job in self.jobs if not self._is_done(job)]
            return bool(self.jobs)
        self._note_numbers({task: seen for task, seen in queue.items() if task[0] in self._unanswered})
        lost: Counter[str] = Counter()
        self.jobs = [job for job in self.jobs if not self._is_settled(job, queue, lost)]
        for word, count in lost.items():
            self.say(f"left Slurm without a result ({word}), and submitted again: {count_jobs(count)}")
        self._say_reasons(queue)
        self._submit([job for job in self.jobs if job.task is None])
        return bool(self.jobs)

    def _note_numbers(self, queue: dict[Task, Seen]) -> None:
        """Learn Slurm's numbers of submissions from the queue, and give late ones what their tasks wait for."""
        for name, number in {name: seen.number.partition("_")[0] for (name, _), seen in queue.items()}.items():
            if name not in self.numbers or name in self._unanswered:
                self.numbers[name] = number
                try:
                    name_tasks(self.submissions.folder / name, number)
                    self._unanswered.discard(name)
                except OSError:
                    self._unanswered.add(name)  # its tasks wait a while: they are named at the next look

    def _is_done(self, job: SlurmJob) -> bool:
        """Return whether a job has its result, or is given up because its directory cannot be read."""
        try:
            return job.directory.is_done()
        except OSError as error:
            return self._is_given_up(job, error)

    def _is_settled(self, job: SlurmJob, queue: dict[Task, Seen], lost: Counter[str]) -> bool:
        seen = queue.get(job.task) if job.task else None
        try:
            if job.directory.is_done():
                return True
            if job.task is None:
                return False
            if not job.is_missing(seen, self.options.hang_seconds):
                job.unread_since = None
                return False
            if seen and seen.is_stuck:
                cancel([seen.number])
            if job.ended(seen, self.options.retries):
                return True
        except OSError as error:
            return self._is_given_up(job, error)
        lost[seen.word if seen else "it no longer knows them"] += 1
        return False

    def _is_given_up(self, job: SlurmJob, error: OSError) -> bool:
        """Return whether nobody waits for a job any more whose directory cannot be read; it is looked at again if not.

        The others go on: one directory must not keep them from being submitted, or the run from ending.
        """
        if job.stays_unread(error, self.options.hang_seconds):
            self.last_words[job.directory] = f"its directory cannot be read: {error}"
            self.say(f"not waited for any more: {job.directory.path} cannot be read ({error.strerror})")
            return True
        self._say_once(f"job directories cannot be read just now ({error.strerror}), and are looked at again")
        return False

    def _can_be_submitted(self, job: SlurmJob) -> bool:
        """Count the attempts of a job, and return whether that was possible; one that stays unreadable is given up."""
        try:
            job.count_attempts()
        except OSError as error:
            if self._is_given_up(job, error):
                self.jobs = [each for each in self.jobs if each is not job]
            return False
        job.unread_since = None
        return True

    def _submit(self, waiting: list[SlurmJob]) -> None:
        """Submit jobs, as many as Slurm takes.

        Raises:
            UsageError: it takes none, and never took one.
        """
        self._size = min(2 * self._size, self._longest)  # after refusals, slowly back to whole arrays
        while waiting and time.monotonic() >= self._not_before:
            batch, rest = [job for job in waiting[: self._size] if self._can_be_submitted(job)], waiting[self._size :]
            waiting = [*batch, *rest]
            if not batch:
                continue
            try:
                name = self._submit_array(batch)
            except RefusedError as refused:
                self._refused(refused, len(batch))
                continue
            except OSError as error:
                self._say_once(f"nothing can be submitted just now ({error.strerror}), and it is tried again")
                self._not_before = time.monotonic() + REFUSED_SECONDS
                return
            for index, job in enumerate(batch):
                job.submitted((name, index), is_late=name in self._unanswered)
            waiting = rest

    def _submit_array(self, batch: list[SlurmJob]) -> str:
        """Submit jobs as one array, and return the name of the submission.

        Raises:
            RefusedError: Slurm does not take it.
            OSError: it could not be written.
        """
        directories, count = [job.directory for job in batch], count_jobs(len(batch))
        try:
            name, number = self.submissions.submit(directories, self.options, self.request, self.threads)
        except UnansweredError as unanswered:
            self._unanswered.add(unanswered.name)
            self.say(f"Slurm did not say whether it takes {count} ({unanswered}): its queue will")
            return unanswered.name
        self.numbers[name] = number
        self.say(f"submitted to Slurm as {number}: {count}")
        return name

    def _refused(self, refused: RefusedError, count: int) -> None:
        """Try fewer jobs at a time: an array above a user's limit is refused as a whole."""
        if count > 1:
            self._size = count // 2
        elif not self.numbers and not self._unanswered:
            raise UsageError(f"Slurm refuses the jobs: {refused}; --slurm-option key=value changes what they ask for")
        else:
            self._say_once(f"Slurm takes no more jobs now, and is asked again every half minute: {refused}")
            self._not_before = time.monotonic() + REFUSED_SECONDS

    def _say_reasons(self, queue: dict[Task, Seen]) -> None:
        """Show why jobs wait, where it is not the usual turn: some of them would wait for ever."""
        waiting = [seen for job in self.jobs if job.task and (seen := queue.get(job.task)) and seen.state == "PENDING"]
        reasons = Counter(seen.reason.partition(",")[0] for seen in waiting)
        for reason, count in reasons.items():
            if reason not in USUAL_REASONS:
                self._say_once(f"waiting in Slurm, which says {reason}", f": {count_jobs(count)}")

    def say_goodbye(self) -> None:
        """Say what goes on without this runner."""
        inside = [job for job in self.jobs if job.task]
        if inside:
            self.say(
                f"{count_jobs(len(inside))} in Slurm: they go on; the same command watches again, "
                f"asrnn-bench status {self.submissions.output} shows them, scancel {self._list_numbers()} ends them"
            )

    def _list_numbers(self) -> str:
        inside = {job.task[0] for job in self.jobs if job.task}
        return " ".join(sorted({self.numbers[name] for name in inside if name in self.numbers}))

    def _say_once(self, line: str, more: str = "") -> None:
        if line not in self._said:
            self._said.add(line)
            self.say(line + more)

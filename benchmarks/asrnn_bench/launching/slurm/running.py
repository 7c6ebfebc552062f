"""Submit jobs as job arrays, and watch their directories and Slurm's queue until every job is settled.

Only a job's directory tells whether it is done or has failed. The queue tells which jobs Slurm still has; a job that is
no longer there and has no end in its directory is submitted again. If the runner ends, its jobs go on, and the next
runner finds them in the queue. Slurm's accounting is not needed.
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
    QueueEntry,
    RefusedError,
    Task,
    UnansweredError,
    cancel,
    count_jobs,
    longest_array,
    read_queue,
    require_commands,
)
from asrnn_bench.launching.slurm.job import SlurmJob
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions
from asrnn_bench.launching.slurm.submission import Submissions
from asrnn_bench.launching.watch import Watch, unwatched

LOOK_SECONDS = 5.0
DIRECTORIES_A_SECOND = 200
"""The most job directories that are read in a second. The file server of a cluster has other users."""

WATCH_SECONDS = 0.2
END_SECONDS = 10.0
"""How much of Slurm's warning time a supervisor keeps, to kill a worker that does not end and to record that."""

REFUSED_SECONDS = 30.0
"""How long to wait after ``sbatch`` refused a job, for example because of a limit on the jobs of a user."""


def run_slurm(
    directories: Iterable[JobDirectory],
    options: Options,
    sbatch_options: SbatchOptions,
    watch: Watch = unwatched,
    say: Callable[[str], None] = lambda line: None,
    threads: int = 1,
) -> dict[JobDirectory, str]:
    """Run every job in Slurm, and return when all are settled. An interrupt leaves the jobs in Slurm.

    Args:
        directories: the jobs of one run, in the order in which they are submitted.
        options: how each job runs.
        sbatch_options: options of sbatch.
        watch: called a few times a second; it raises the interrupt.
        say: prints a line for the user.
        threads: the threads of each process of a job.

    Returns:
        for each job whose directory could not be read, why the run stopped watching it.

    Raises:
        UsageError: Slurm is missing or does not answer, or ``sbatch`` refuses the jobs.
    """
    jobs = [SlurmJob(directory) for directory in directories]
    if not jobs:
        return {}
    require_commands()
    # A worker may use all of the warning time to save.
    grace = max(options.grace_seconds, sbatch_options.notice_seconds() - END_SECONDS)
    run = _Run(jobs, options.model_copy(update={"grace_seconds": grace}), sbatch_options, threads, say)
    try:
        run.find_in_queue()
        while run.step():
            deadline = time.monotonic() + max(LOOK_SECONDS, len(run.jobs) / DIRECTORIES_A_SECOND)
            watch()
            while time.monotonic() < deadline:
                time.sleep(WATCH_SECONDS)
                watch()
    except UsageError:
        raise
    except BaseException:
        run.say_what_goes_on()
        raise
    return run.last_words


class _Run:
    """The jobs of one run that are not settled yet, and its submissions."""

    def __init__(
        self,
        jobs: list[SlurmJob],
        options: Options,
        sbatch_options: SbatchOptions,
        threads: int,
        say: Callable[[str], None],
    ) -> None:
        self.jobs, self.options, self.sbatch_options, self.say = jobs, options, sbatch_options, say
        self.threads = threads
        self.submissions = Submissions.of(jobs[0].directory)
        self._size = self._longest = longest_array()
        self.numbers: dict[str, str] = {}  # the job ID of each submission that was accepted or found
        self._unanswered: set[str] = set()  # submissions without an answer from sbatch
        self._not_before = 0.0
        self._said: set[str] = set()
        self.last_words: dict[JobDirectory, str] = {}

    def find_in_queue(self) -> None:
        """Find the jobs that an earlier runner left in Slurm, and remove the folders of finished submissions.

        Raises:
            UsageError: the queue or the folder of submissions cannot be read.
        """
        try:
            tasks = wait_out(self.submissions.tasks)
        except OSError as error:
            folder = self.submissions.folder
            raise UsageError(f"{folder} cannot be read: {error.strerror}; start the run again when it can") from error
        names = {name for found in tasks.values() for name, _ in found}
        queue = read_queue(sorted(names))
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
        """Read directories and queue once, submit the jobs that are not in Slurm, and return whether jobs are left."""
        queue = read_queue(sorted({job.task[0] for job in self.jobs if job.task}))
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

    def _note_numbers(self, queue: dict[Task, QueueEntry]) -> None:
        """Read the job IDs of submissions from the queue."""
        for (name, _), seen in queue.items():
            self.numbers[name] = seen.number.partition("_")[0]
            self._unanswered.discard(name)

    def _is_done(self, job: SlurmJob) -> bool:
        """Return whether a job has its result, or stays unreadable and is given up."""
        try:
            return job.directory.is_done()
        except OSError as error:
            return self._is_given_up(job, error)

    def _is_settled(self, job: SlurmJob, queue: dict[Task, QueueEntry], lost: Counter[str]) -> bool:
        seen = queue.get(job.task) if job.task else None
        try:
            if job.directory.is_done():
                return True
            if job.task is None:
                return False
            if not job.is_lost(seen, self.options.hang_seconds):
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
        """Return whether a job with an unreadable directory is given up; if not, it is looked at again.

        The other jobs go on: one directory must neither keep them from being submitted nor the run from ending.
        """
        if job.stays_unread(error, self.options.hang_seconds):
            self.last_words[job.directory] = f"its directory cannot be read: {error}"
            self.say(f"not waited for any more: {job.directory.path} cannot be read ({error.strerror})")
            return True
        self._say_once(f"job directories cannot be read just now ({error.strerror}), and are looked at again")
        return False

    def _can_be_submitted(self, job: SlurmJob) -> bool:
        """Count a job's attempts, and return whether its directory can be read; give up one that stays unreadable."""
        try:
            job.count_attempts()
        except OSError as error:
            if self._is_given_up(job, error):
                self.jobs = [each for each in self.jobs if each is not job]
            return False
        job.unread_since = None
        return True

    def _submit(self, waiting: list[SlurmJob]) -> None:
        """Submit as many jobs as Slurm accepts.

        Raises:
            UsageError: Slurm refuses all jobs, and never accepted one.
        """
        self._size = min(2 * self._size, self._longest)  # after refusals, arrays grow again
        while waiting and time.monotonic() >= self._not_before:
            batch, rest = [job for job in waiting[: self._size] if self._can_be_submitted(job)], waiting[self._size :]
            waiting = [*batch, *rest]
            if not batch:
                continue
            try:
                name = self._submit_array(batch)
            except RefusedError as refused:
                self._try_fewer(refused, len(batch))
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
            RefusedError: ``sbatch`` refuses it.
            OSError: the folder of the submission cannot be written.
        """
        directories, count = [job.directory for job in batch], count_jobs(len(batch))
        try:
            name, number = self.submissions.submit(directories, self.options, self.sbatch_options, self.threads)
        except UnansweredError as unanswered:
            self._unanswered.add(unanswered.name)
            self.say(f"Slurm did not say whether it takes {count} ({unanswered}): its queue will")
            return unanswered.name
        self.numbers[name] = number
        self.say(f"submitted to Slurm as {number}: {count}")
        return name

    def _try_fewer(self, refused: RefusedError, count: int) -> None:
        """Submit fewer jobs at a time, as an array above a limit is refused as a whole. If one job is refused, wait."""
        if count > 1:
            self._size = count // 2
        elif not self.numbers and not self._unanswered:
            raise UsageError(f"Slurm refuses the jobs: {refused}; --slurm-option key=value changes what they ask for")
        else:
            self._say_once(f"Slurm takes no more jobs now, and is asked again every half minute: {refused}")
            self._not_before = time.monotonic() + REFUSED_SECONDS

    def _say_reasons(self, queue: dict[Task, QueueEntry]) -> None:
        """Tell the user why jobs wait, unless the reason is usual: some of them would wait for ever."""
        waiting = [seen for job in self.jobs if job.task and (seen := queue.get(job.task)) and seen.state == "PENDING"]
        reasons = Counter(seen.reason.partition(",")[0] for seen in waiting)
        for reason, count in reasons.items():
            if reason not in USUAL_REASONS:
                self._say_once(f"waiting in Slurm, which says {reason}", f": {count_jobs(count)}")

    def say_what_goes_on(self) -> None:
        """Tell the user which jobs go on without this runner, and how to end them."""
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

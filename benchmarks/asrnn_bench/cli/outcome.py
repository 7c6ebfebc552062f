"""What a run says before it starts and after it has ended."""

from rich.console import Console

from asrnn_bench.plain_text import plain
from asrnn_bench.planning.plan import Plan
from asrnn_bench.results.tables import terminal_table
from asrnn_bench.runner import Machine, Outcome, Places
from asrnn_bench.running.display import dry_run_table
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.snapshot import known_speeds, plan_seconds
from asrnn_bench.running.words import duration
from asrnn_data.image_sets import IMAGE_SETS, images_present


def print_plan(plan: Plan, places: Places, machine: Machine, console: Console) -> None:
    """Print the jobs of a plan, what is known of their times, and what would be submitted where."""
    launch = machine.launch(plan)
    speeds = known_speeds(places.output, plan.jobs)
    here = {name for name in IMAGE_SETS if images_present(name, places.data_dir)}
    console.print(dry_run_table(plan.jobs, places.output, speeds, here))
    left = [job for job in plan.jobs if job.task.images in here]
    directories = [JobDirectory.of(places.output, job) for job in left]
    pairs = [(d, job) for d, job in zip(directories, left, strict=True) if _would_run(d, machine)]
    seconds = plan_seconds([job for _, job in pairs], speeds, launch.at_a_time)
    when = "unknown: no job of this kind has run here yet" if seconds is None else f"about {duration(seconds)}"
    console.print(f"{len(plan.jobs)} jobs, {len(pairs)} to run, {launch.at_a_time} at a time; time: {when}")
    if launch.describe is not None and pairs:
        console.print(launch.describe([directory for directory, _ in pairs], machine.options), soft_wrap=True)


def _would_run(directory: JobDirectory, machine: Machine) -> bool:
    if directory.is_done():
        return False
    return machine.retry_failed or not directory.is_given_up(machine.options.retries)


def print_outcome(outcome: Outcome, places: Places, console: Console) -> None:
    """Print the leaderboard of a run, why jobs have no score, and where to read on."""
    for fault in outcome.faults:
        console.print(f"warning: {plain(fault)}", soft_wrap=True)
    suite, budget = outcome.plan.suite, outcome.plan.budget
    if outcome.records:
        console.print(terminal_table(outcome.records))
    for reason, labels in _reasons(outcome).items():
        console.print(f"{', '.join(labels)}: {reason}", soft_wrap=True)
    failed = [record.job for record in outcome.records if record.status == "failed"]
    for job in failed:
        for attempt in JobDirectory.of(places.output, job).attempts()[-1:]:
            console.print(f"log of {job.label}: {attempt.log}", soft_wrap=True)
    if failed:
        console.print("the same command with --retry-failed tries failed jobs again, from their checkpoints")
    csv = places.leaderboards / f"{suite.name}.{budget}.csv"
    console.print(
        f"{outcome.started} of {len(outcome.plan.jobs)} jobs were started now. Leaderboard: {csv}", soft_wrap=True
    )


def _reasons(outcome: Outcome) -> dict[str, list[str]]:
    """Return each reason why jobs have no score, with the jobs it holds for; data are named by their task alone."""
    reasons: dict[str, dict[str, None]] = {}
    for record in outcome.records:
        if record.reason:
            job = record.job
            what = f"no data, {job.task.name}" if record.status == "no-data" else f"{record.status}, {job.label}"
            reasons.setdefault(record.reason, {})[what] = None
    return {reason: list(labels) for reason, labels in reasons.items()}

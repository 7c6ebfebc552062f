"""Write the state of jobs, times and sizes in words that people read."""

from collections.abc import Sequence

from rich.text import Text

from asrnn_bench.jobs.directory import State
from asrnn_bench.watching.observer import JobView, count_states

COLOURS: dict[State, str] = {"done": "green", "diverged": "magenta", "failed": "red", "no-data": "yellow"}

FEW, MOST_ENDED = 3, 20
"""The most jobs with one reason that get a line each, and the most lines for all jobs that have just ended."""


def ended_line(view: JobView) -> Text:
    """Return a line that says how a job ended."""
    line = _begun(view.state, view.job.label)
    if view.accuracy is not None:
        line.append(f": {'test' if view.job.tested else 'validation'} accuracy {view.accuracy:.1%}")
    if view.train_seconds is not None:
        line.append(f", {duration(view.train_seconds)}")
    if view.reason:
        line.append(f": {view.reason}")
    return line


def ended_lines(views: Sequence[JobView]) -> list[Text]:
    """Return a few lines that say how many jobs ended. Jobs with the same reason share a line."""
    groups: dict[tuple[State, str | int], list[JobView]] = {}
    for number, view in enumerate(views):
        groups.setdefault((view.state, view.reason or number), []).append(view)
    lines: list[Text] = []
    counted: list[JobView] = []  # those without a line of their own
    for (state, reason), group in groups.items():
        if len(lines) >= MOST_ENDED:
            counted += group
        elif len(group) > FEW:
            lines.append(_begun(state, f"{len(group)} jobs, such as {group[0].job.label}: {reason}"))
        else:
            lines += map(ended_line, group)
    lines += [_begun(state, f"{count} more jobs") for state, count in count_states(counted).items()]
    return lines


def summary(views: Sequence[JobView], to_go: float | None, *, is_live: bool = True, stopping: str = "") -> str:
    """Return a line about a run, or about the present rung of a search: the jobs in each state and the time to go.

    Args:
        views: the jobs.
        to_go: the estimated seconds until all jobs have ended; ``None`` where there is no estimate.
        is_live: whether a runner is known to be at work.
        stopping: what a run that was asked to stop waits for; it replaces the time to go.
    """
    counts = count_states(views)
    parts = [f"{counts['done']} of {len(views)} jobs done"]
    parts += [f"{counts[s]} {s}" for s in ("running", "waiting", "diverged", "failed", "no-data") if counts[s]]
    if stopping:
        parts.append(stopping)
    elif counts["waiting"] and not counts["running"] and not is_live:
        parts.append("none of them runs; run the same command to continue")
    elif counts["running"] or counts["waiting"]:
        rung = " in this rung" if views and not any(view.job.tested for view in views) else ""
        parts.append("time to go unknown yet" if to_go is None else f"about {duration(to_go)} to go{rung}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time as a short text: ``42 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Return a number of bytes as a short text: ``512 KiB``, ``3.4 MiB``, ``1.2 GiB``."""
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if count >= 1 << power:
            return f"{count / (1 << power):.1f} {unit}"
    return f"{count / (1 << 10):.0f} KiB"


def ranges(numbers: Sequence[int]) -> str:
    """Return growing whole numbers as a short text: ``0-3,7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 2 else ",".join(map(str, part)) for part in parts)


def _begun(state: State, rest: str) -> Text:
    line = Text()
    line.append(f"{state:<9}", style=COLOURS.get(state, ""))
    return line.append(rest)

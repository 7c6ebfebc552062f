"""Show many jobs in tables that fit a terminal: the accuracy of each model on each task, and each running job."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from asrnn_bench.jobs.directory import State
from asrnn_bench.results.column_blocks import GAP, column_blocks
from asrnn_bench.watching.observer import JobView, count_states
from asrnn_bench.watching.words import COLOURS, duration

Cells = dict[tuple[str, str], list[JobView]]
"""The jobs of each model and task."""


def grids(views: Sequence[JobView], width: int, height: int | None = None) -> list[Table]:
    """Return tables with a row for each model and a column for each task: the mean accuracy, or the progress.

    Tasks that do not fit the width go into further tables. Where all tables together are too high, one table counts the
    jobs of each model instead.

    Args:
        views: the jobs.
        width: the number of letters in a line.
        height: the number of lines for all tables; by default there is no limit.
    """
    cells: Cells = {}
    for view in views:
        cells.setdefault((view.job.model.name, view.job.task.name), []).append(view)
    models = list(dict.fromkeys(model for model, _ in cells))
    texts = {place: _cell(group) for place, group in cells.items()}
    widths: dict[str, int] = {}
    for (_, task), text in texts.items():
        widths[task] = max(widths.get(task, len(task)), text.cell_len)
    blocks = column_blocks(widths, max(len("accuracy"), *map(len, models)), width)
    if height is not None and len(blocks) * (len(models) + 1) > height:
        return [_counts(views, height)]
    return [_matrix(texts, models, tasks) for tasks in blocks]


def running_table(views: Sequence[JobView], width: int, rows: int | None = None) -> Text:
    """Return a line for each of the first ``rows`` running jobs: its step, loss, speed, time to go and phase.

    Where the width is too small, the loss is left out first, then the speed; then the phase replaces the time to go
    unless the job trains. A line that is still too long is broken. The result is text, as a table of a thousand rows
    takes seconds.
    """
    shown = [_doing(view) for view in (views if rows is None else views[:rows])]
    names = list(shown[0])
    for dropped in ("", "loss", "steps/s", "phase"):
        names = [name for name in names if name != dropped]
        if dropped == "phase":
            shown = [row | ({"to go": row["phase"]} if row["phase"] != "training" else {}) for row in shown]
        widths = {name: max(len(name), *(cell_len(row[name]) for row in shown)) for name in names}
        if sum(widths.values()) + GAP * (len(names) - 1) <= width:
            break
    lines = []
    for row in ({name: name for name in names}, *shown):
        first, *others = ((row[name], widths[name] - cell_len(row[name])) for name in names)
        lines.append((" " * GAP).join([first[0] + " " * first[1], *(" " * room + text for text, room in others)]))
    head, *rest = lines
    return Text.assemble((head, "bold"), *(f"\n{line}" for line in rest), overflow="fold")


def _doing(view: JobView) -> dict[str, str]:
    """Return the cells of a running job by column."""
    now, speed = view.progress, view.progress.get("steps_per_second")
    left = (view.job.training.steps - int(now.get("step") or 0)) / speed if speed else None
    return {
        "running": view.job.label,
        "step": f"{now.get('step', 0)}/{view.job.training.steps}",
        "loss": f"{now['loss']:.3f}" if now.get("loss") is not None else "",
        "steps/s": f"{speed:.1f}" if speed else "",
        "to go": "" if left is None else duration(left),
        "phase": str(now.get("phase", "starting")),
    }


def _matrix(texts: dict[tuple[str, str], Text], models: list[str], tasks: list[str]) -> Table:
    table = _table("accuracy", *tasks)
    for model in models:
        if any((model, task) in texts for task in tasks):
            table.add_row(model, *(texts.get((model, task), Text()) for task in tasks))
    return table


def _counts(views: Sequence[JobView], height: int) -> Table:
    """Count each model's jobs by state; where there are too many models, those with unfinished jobs come first."""
    models: dict[str, list[JobView]] = {}
    for view in views:
        models.setdefault(view.job.model.name, []).append(view)
    counts = {model: count_states(group) for model, group in models.items()}
    states = [state for state in ("done", "running", "waiting", *COLOURS) if any(c[state] for c in counts.values())]
    states = list(dict.fromkeys(states))
    table = _table("jobs", *states)
    shown = list(models)
    if len(shown) + 1 > height:
        shown.sort(key=lambda model: not counts[model]["running"] and not counts[model]["waiting"])
        shown = shown[: max(1, height - 2)]
    for model in shown:
        table.add_row(model, *(Text(str(counts[model][s] or ""), style=COLOURS.get(s, "cyan")) for s in states))
    if len(shown) < len(models):
        table.add_row(f"and {len(models) - len(shown)} more models")
    return table


def _cell(views: list[JobView]) -> Text:
    scores = [view.accuracy for view in views if view.accuracy is not None]
    counts = count_states(views)
    lost: tuple[State, ...] = ("failed", "diverged", "no-data")
    for state in lost:
        if counts[state]:
            many = f"{counts[state]} of {len(views)} " if len(views) > 1 else ""
            return Text(many + state, style=COLOURS[state])
    if scores and len(scores) == len(views):
        return Text(f"{sum(scores) / len(scores):.1%}", style="green")
    if len(views) > 1 and (scores or counts["running"]):
        return Text(f"{len(scores)} of {len(views)} done", style="cyan")
    return Text(f"at {views[0].fraction:.0%}", style="cyan") if counts["running"] else Text("·", style="dim")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table

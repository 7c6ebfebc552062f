"""Name the rows and columns of a leaderboard, so that configurations of a model and protocols of a task differ."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asrnn_bench.files.canonical import digest
from asrnn_bench.files.plain_text import plain
from asrnn_bench.records.job import Job, TrainingConfig
from asrnn_data.tasks import TASKS

OF_THE_BUDGET = frozenset({"batch_size", "max_steps", "validate_every"})
"""The fields of a training that come from the budget. They must be equal where models are compared."""

DIGEST_DIGITS = 6
"""The least number of hexadecimal digits to which a digest is cut in a label."""

Words = dict[str, object]
"""Values by name, which a label writes as ``name=value``."""

_TAKEN = {*TrainingConfig.model_fields, "threads", "origin", "target", "assembly", "hidden_size"}
_DIGEST = re.compile(r"[0-9a-f]{40,}")


@dataclass(frozen=True)
class Place:
    """The cell of a configuration in a leaderboard; no two configurations share a cell.

    Args:
        task: the column. The name of the task, and in brackets what differs where the task has several protocols.
        entry: the row, which holds one configuration of a model for each task. The name of the model, and in brackets
            what differs where the model has several codes or threads, or several configurations on one task.
    """

    task: str
    entry: str


def places(jobs: Iterable[Job]) -> dict[str, Place]:
    """Return the place of each configuration among ``jobs``, by the ``config`` of its jobs."""
    configurations = list({job.config: job for job in jobs}.values())
    tasks, entries = _tasks(configurations), _entries(configurations)
    found = {job.config: Place(tasks[job.task.name, protocol(job)], entries[job.config]) for job in configurations}
    count = Counter(found.values())
    # Two labels can be equal though the values differ, as invisible characters are escaped.
    return {c: Place(p.task, _numbered(p.entry, c, count[p])) for c, p in found.items()}


def protocol(job: Job) -> str:
    """Return a digest of everything that must be equal where models are compared: task, assets, steps, batches."""
    # The digest of a job is the same in all schemas, so that old jobs can be compared with new ones. The scaling, which
    # old jobs lack, is among the assets too.
    task = job.task.model_dump(mode="json", exclude={"scaling", "sequence_length"})
    if _sequence_length(job) != _registered_length(job):
        task["sequence_length"] = _sequence_length(job)
    return digest([task, job.training.model_dump(include=set(OF_THE_BUDGET))])[:12]


def making(job: Job) -> tuple[str, ...]:
    """Return the values that all entries of one model share: its name, its code and its threads."""
    return job.model.name, *_written(_making_words(job))


def hyperparameters(job: Job) -> str:
    """Return the job's hyper-parameters as ``name=value`` words: first those of its training, then the model's own.

    Those of the training are shown where they differ from their defaults. The optimiser, the learning rate and the
    momentum of ``sgd`` are always shown.
    """
    if job.model.name == "chance":
        return ""
    words = _training_words(job)
    shown = {"optimizer", "learning_rate", *(["momentum"] if job.training.optimizer == "sgd" else [])}
    shown |= {name for name, value in words.items() if value not in (None, TrainingConfig.model_fields[name].default)}
    return " ".join(_written({name: value for name, value in words.items() if name in shown} | _own_words(job)))


def code(job: Job) -> str:
    """Return the identity of the code of a job's model (its version or digest), as ``name=value`` words."""
    return " ".join(_written(dict(sorted(job.model.code.items()))))


def _tasks(jobs: Sequence[Job]) -> dict[tuple[str, str], str]:
    """Return the label of each task, by its name and the digest of its protocol."""
    by_task: dict[str, dict[str, Job]] = defaultdict(dict)
    for job in jobs:
        by_task[job.task.name].setdefault(protocol(job), job)
    labels: dict[tuple[str, str], str] = {}
    for task, of_each in by_task.items():
        words = [_protocol_words(job) for job in of_each.values()]
        if len({tuple(_written(each)) for each in words}) < len(words):
            words = [each | _asset_words(job) for each, job in zip(words, of_each.values(), strict=True)]
        own = [_label(task, differing) for differing in _differences(words)]
        count = Counter(own)
        labels |= {(task, key): _numbered(text, key, count[text]) for key, text in zip(of_each, own, strict=True)}
    return labels


def _entries(jobs: Sequence[Job]) -> dict[str, str]:
    """Return the label of the entry of each configuration, by its ``config``."""
    by_model: dict[str, dict[tuple[str, ...], list[Job]]] = defaultdict(lambda: defaultdict(list))
    for job in jobs:
        by_model[job.model.name][tuple(_written(_making_words(job)))].append(job)
    labels: dict[str, str] = {}
    for model, variants in by_model.items():
        makings = _differences([_making_words(same[0]) for same in variants.values()])
        for making, same in zip(makings, variants.values(), strict=True):
            labels |= {config: _label(model, making | words) for config, words in _settings(same).items()}
    return labels


def _settings(jobs: Sequence[Job]) -> dict[str, Words]:
    """Return the settings in which each configuration of one code differs from others of the same task and protocol.

    Models are tuned task by task, so settings that differ between tasks only are not shown. Where a task has one
    configuration only, it joins the entry that has the same settings on another task, if there is one.
    """
    by_task: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        by_task[job.task.name, protocol(job)].append(job)
    several = [job for same in by_task.values() if len(same) > 1 for job in same]
    names = {name for same in by_task.values() for name in _differences([_setting_words(job) for job in same])[0]}
    words = {job.config: {n: _setting_words(job).get(n, "default") for n in sorted(names)} for job in jobs}
    known = [words[job.config] for job in several]
    return {config: own if own in known else {} for config, own in words.items()}


def _making_words(job: Job) -> Words:
    """Return the values that a model has on every task."""
    model = job.model
    words = {f"code {name}": value for name, value in sorted(model.code.items())}
    words |= {"origin": model.origin, "target": model.target, "assembly": model.assembly}
    return {**words, "threads": job.threads, "job_schema": job.schema_version}


def _setting_words(job: Job) -> Words:
    """Return the values that are chosen for a model task by task."""
    return {"hidden_size": job.model.hidden_size} | _training_words(job) | _own_words(job)


def _training_words(job: Job) -> Words:
    words = {name: value for name, value in job.training if name not in OF_THE_BUDGET}
    return words | {"schedule_steps": "+".join(map(str, job.training.schedule_steps)) or None}


def _own_words(job: Job) -> Words:
    """Return the hyper-parameters of the model; a name that the training also has gets the prefix ``hyper.``."""
    return {f"hyper.{n}" if n in _TAKEN else n: value for n, value in sorted(job.model.hyper.items())}


def _protocol_words(job: Job) -> Words:
    task, training = job.task, job.training
    return {
        **task.variants,
        "images": task.images,
        "version": task.version,
        "sequence_length": _sequence_length(job),
        **{name: value for name, value in training if name in OF_THE_BUDGET},
    }


def _sequence_length(job: Job) -> int | None:
    """Return T: the job's own, or the registered one of its task where an old job has none."""
    return job.task.sequence_length or _registered_length(job)


def _registered_length(job: Job) -> int | None:
    return TASKS[job.task.name].sequence_length if job.task.name in TASKS else None


def _asset_words(job: Job) -> Words:
    return {f"asset {name}": value for name, value in sorted(job.task.assets.items())}


def _differences(each: Sequence[Words]) -> list[Words]:
    """Return for each of several things the words in which they differ; digests are cut to as few digits as differ."""
    names = dict.fromkeys(name for words in each for name in words)
    found: list[Words] = [{} for _ in each]
    for name in names:
        values = [words.get(name) for words in each]
        if len({(type(value), value) for value in values}) < 2:
            continue
        digests = {value for value in values if isinstance(value, str) and _DIGEST.fullmatch(value)}
        digits = DIGEST_DIGITS
        while len({value[:digits] for value in digests}) < len(digests):
            digits += 1
        for words, value in zip(found, values, strict=True):
            words[name] = value[:digits] if isinstance(value, str) and value in digests else value
    return found


def _label(name: str, differing: Words) -> str:
    return f"{name} ({', '.join(_written(differing))})" if differing else name


def _numbered(text: str, key: str, count: int) -> str:
    return text if count == 1 else f"{text} [{key}]"


def _written(words: Words) -> list[str]:
    return [plain(f"{name}={'none' if value is None else value}") for name, value in words.items()]

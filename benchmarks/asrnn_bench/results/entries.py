"""Name the rows and columns of a leaderboard: a model's configurations and a task's protocols, told apart in words."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asrnn_bench.files.canonical import digest
from asrnn_bench.files.plain_text import plain
from asrnn_bench.records.job import Job, TrainingConfig
from asrnn_data.tasks import TASKS

OF_THE_BUDGET = frozenset({"batch_size", "max_steps", "validate_every"})
"""The fields of a training that belong to the budget, and are equal where models are compared."""

DIGEST_DIGITS = 6
"""The fewest hexadecimal digits that stand for a digest in a label."""

Words = dict[str, object]
"""What something is made of, by name."""

_TAKEN = {*TrainingConfig.model_fields, "threads", "origin", "target", "assembly", "hidden_size"}
_DIGEST = re.compile(r"[0-9a-f]{40,}")


@dataclass(frozen=True)
class Place:
    """Where a configuration stands in a leaderboard: no two configurations stand in one place.

    ``task`` is the column: the task's name, with what differs where it has several protocols. ``entry`` is the row: a
    model in one configuration a task. It is the model's name, with what differs where the model has several codes or
    threads, or several configurations on one task.
    """

    task: str
    entry: str


def places(jobs: Iterable[Job]) -> dict[str, Place]:
    """Return the place of each configuration among ``jobs``, by the ``config`` of its jobs."""
    configurations = list({job.config: job for job in jobs}.values())
    tasks, entries = _tasks(configurations), _entries(configurations)
    found = {job.config: Place(tasks[job.task.name, protocol(job)], entries[job.config]) for job in configurations}
    count = Counter(found.values())
    # Words can be equal where what they stand for is not: characters that cannot be seen are escaped.
    return {c: Place(p.task, _numbered(p.entry, c, count[p])) for c, p in found.items()}


def protocol(job: Job) -> str:
    """Return a digest of all that must be equal where two models are compared: task, assets, steps, batches."""
    # As jobs of older schemas have it, which are compared with later ones: the scaling is among the assets.
    task = job.task.model_dump(mode="json", exclude={"scaling", "sequence_length"})
    if _sequence_length(job) != _registered_length(job):
        task["sequence_length"] = _sequence_length(job)
    return digest([task, job.training.model_dump(include=set(OF_THE_BUDGET))])[:12]


def making(job: Job) -> tuple[str, ...]:
    """Return what is equal in all entries of one model: its name, its code and its threads."""
    return job.model.name, *_written(_making_words(job))


def hyperparameters(job: Job) -> str:
    """Return the job's hyper-parameters as ``name=value`` words: those of its training, then the model's own.

    Of the training all are there that differ from their defaults; optimiser and learning rate always, and the momentum
    of ``sgd``.
    """
    if job.model.name == "chance":
        return ""
    words = _training_words(job)
    shown = {"optimizer", "learning_rate", *(["momentum"] if job.training.optimizer == "sgd" else [])}
    shown |= {name for name, value in words.items() if value not in (None, TrainingConfig.model_fields[name].default)}
    return " ".join(_written({name: value for name, value in words.items() if name in shown} | _own_words(job)))


def code(job: Job) -> str:
    """Return what identifies the code of a job's model, as ``name=value`` words."""
    return " ".join(_written(dict(sorted(job.model.code.items()))))


def _tasks(jobs: Sequence[Job]) -> dict[tuple[str, str], str]:
    """Return what each task is called, by its name and the digest of its protocol."""
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
    """Return what the entry of each configuration is called, by its ``config``."""
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
    """Return in which settings each configuration of one code differs from others of the same task and protocol.

    Where a task has one alone, it goes with what is set alike on another task, and else has no words: models are tuned
    task by task, so that settings that differ between tasks say nothing.
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
    """Return what a model is made of on every task."""
    model = job.model
    words = {f"code {name}": value for name, value in sorted(model.code.items())}
    words |= {"origin": model.origin, "target": model.target, "assembly": model.assembly}
    return {**words, "threads": job.threads, "job_schema": job.schema_version}


def _setting_words(job: Job) -> Words:
    """Return what is chosen for a model task by task."""
    return {"hidden_size": job.model.hidden_size} | _training_words(job) | _own_words(job)


def _training_words(job: Job) -> Words:
    words = {name: value for name, value in job.training if name not in OF_THE_BUDGET}
    return words | {"schedule_steps": "+".join(map(str, job.training.schedule_steps)) or None}


def _own_words(job: Job) -> Words:
    """Return the hyper-parameters of the model itself; one that is called as one of its training keeps apart."""
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
    """Return T: the job's own, or that of its task where its schema says none."""
    return job.task.sequence_length or _registered_length(job)


def _registered_length(job: Job) -> int | None:
    return TASKS[job.task.name].sequence_length if job.task.name in TASKS else None


def _asset_words(job: Job) -> Words:
    return {f"asset {name}": value for name, value in sorted(job.task.assets.items())}


def _differences(each: Sequence[Words]) -> list[Words]:
    """Return of several things the words in which they differ; a digest with as few digits as tell them apart."""
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

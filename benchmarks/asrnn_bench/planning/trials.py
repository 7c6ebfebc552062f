"""The trials of a search: settings drawn from a model's space, the same whoever asks and however many are asked for.

A trial is a pure function of the space, the model and its number: the point of that number in a scrambled Halton
sequence, whose seed is named after the search's and the model. A trial or a model more changes no other trial.
"""

from collections.abc import Iterator
from hashlib import sha256

from asrnn.errors import UsageError
from asrnn_bench.planning.settings import Settings, settings_of
from asrnn_bench.planning.space import Space, choose
from asrnn_bench.planning.spec import Search, SuiteSpec

FIRST_AXES = ("optimizer", "learning_rate", "gradient_clip_norm")
"""The axes that take the first dimensions of the sequence, which are the most evenly spread; the others follow."""

DRAWN = "drawn"
"""The origin of settings from a space; those that were published have their own."""

POINTS_A_TRIAL = 100
"""How many points are looked at for each trial before a space counts as one with too few different settings."""


def search_of(suite: SuiteSpec) -> Search:
    """Return the suite's search.

    Raises:
        UsageError: it has none.
    """
    if suite.search is None:
        raise UsageError(f"suite {suite.name} has no [search], so there is nothing to draw trials from")
    return suite.search


def draw(search: Search, model: str, task: str | None = None) -> list[Settings]:
    """Return a model's trials, the first one first; its published settings on ``task``, if any, are the first.

    Points of the sequence that lead to the settings of a trial before them are passed over.

    Raises:
        UsageError: the suite has no space for the model, or one with too few different settings.
    """
    name = model if model in search.space else "default"
    if name not in search.space:
        raise UsageError(f"the suite has no [search.space.{model}] and no [search.space.default]")
    found: list[Settings] = []
    seen: set[str] = set()
    published = search.published.get(task or "", {}).get(model)
    for number, drawn in enumerate(_points(search, model, search.space[name])):
        trial = published if published is not None and number == 0 else drawn
        values = trial.model_dump_json(exclude={"origin"})
        if values not in seen:
            seen.add(values)
            found.append(trial)
        if len(found) == search.trials:
            return found
    raise UsageError(f"[search.space.{name}] has {len(found)} different settings for {search.trials} trials; widen it")


def _points(search: Search, model: str, space: Space) -> Iterator[Settings]:
    """Yield the settings of one point of the sequence after another."""
    from scipy.stats.qmc import Halton  # half a second to import, which no other verb has need of

    names = sorted(space, key=lambda name: FIRST_AXES.index(name) if name in FIRST_AXES else len(FIRST_AXES))
    seed = sha256(f"asrnn-bench/search/{search.seed}/{model}".encode()).digest()[:8]
    sequence = Halton(len(names), scramble=True, seed=int.from_bytes(seed, "little"))
    for _ in range(POINTS_A_TRIAL):
        for point in sequence.random(search.trials).tolist():
            values = {}
            optimizer = "adam"
            for name, share in zip(names, point, strict=True):
                values[name] = choose(space[name], share, optimizer)
                optimizer = str(values.get("optimizer", optimizer))
            yield settings_of(values, DRAWN)

"""Draw the trials of a search: settings from a model's space.

A trial is a pure function of the space, the model and the trial's number: the point of that number in a scrambled
Halton sequence, whose seed follows from the search's seed and the model. A further trial or model changes no other
trial.
"""

from collections.abc import Iterator
from hashlib import sha256

from asrnn.errors import UsageError
from asrnn_bench.planning.settings import Settings, settings_of
from asrnn_bench.planning.space import Space, choose
from asrnn_bench.planning.spec import Search, SuiteSpec

FIRST_AXES = ("optimizer", "learning_rate", "gradient_clip_norm")
"""The axes that use the first dimensions of the sequence, which are spread most evenly."""

DRAWN = "drawn"
"""The origin of settings that were drawn from a space."""

POINTS_A_TRIAL = 100
"""The most points of the sequence that are tried for each trial; a space that needs more has too few settings."""


def search_of(suite: SuiteSpec) -> Search:
    """Return the suite's search.

    Raises:
        UsageError: the suite has no search.
    """
    if suite.search is None:
        raise UsageError(f"suite {suite.name} has no [search], so there is nothing to draw trials from")
    return suite.search


def draw(search: Search, model: str, task: str | None = None) -> list[Settings]:
    """Return the trials of a model in order. Its published settings on ``task``, if there are any, replace the first.

    Points of the sequence that give the settings of an earlier trial are left out.

    Raises:
        UsageError: the suite has no space for the model, or the space has too few different settings.
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
    """Yield the settings of each point of the sequence."""
    from scipy.stats.qmc import Halton  # half a second to import, which no other command needs

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

"""Round-robin timing: every contender once a round, so that whatever the machine does meets all of them alike."""

import time
from collections.abc import Callable, Mapping


def time_rounds(
    steps: Mapping[str, Callable[[], None]],
    rounds: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    after_round: Callable[[int], None] = lambda number: None,
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Call every step once a round, in the order given.

    Args:
        steps: what to time, by name.
        rounds: how often each is called.
        clock: seconds, increasing.
        after_round: called with the number of each round that ended, from 1.

    Returns:
        the seconds of each call by name, and the reason of each step that failed, which has no seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    reasons: dict[str, str] = {}
    for number in range(1, rounds + 1):
        for name in list(seconds):
            start = clock()
            try:
                steps[name]()
            except Exception as error:  # whatever a model does, the others are timed
                del seconds[name]
                reasons[name] = failure(error)
            else:
                seconds[name].append(clock() - start)
        after_round(number)
    return seconds, reasons


def failure(error: Exception) -> str:
    """Return what went wrong, in one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

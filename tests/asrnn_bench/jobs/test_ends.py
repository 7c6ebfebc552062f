"""Each kind of end has a rule, and only ends since the last progress count."""

from collections.abc import Sequence
from typing import Any, get_args

import pytest

from asrnn_bench.jobs.ends import RULES, End, EndKind, decide, pause_after


def _ends(*kinds: Any, steps: Sequence[int] = ()) -> list[End]:
    saved = [*steps, *[0] * (len(kinds) - len(steps))]
    return [End(1, kind, "", step) for kind, step in zip(kinds, saved, strict=True)]


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        (_ends(), "again"),
        (_ends("killed", "killed"), "again"),
        (_ends("killed", "killed", "killed"), "never"),
        (_ends("no-result", "killed", "no-result", "killed"), "again"),
        (_ends("hang"), "again"),
        (_ends("hang", "hang"), "never"),
        (_ends("exception"), "never"),
        (_ends("out-of-memory"), "never"),
        (_ends("damaged"), "never"),
        (_ends("time-limit"), "never"),
        (_ends("no-data"), "later"),
        (_ends("no-space"), "later"),
        (_ends("not-started"), "later"),
        (_ends("superseded"), "later"),
        (_ends(*["preempted"] * 100), "again"),
        (_ends(*["preempted"] * 101), "never"),
        (_ends(*["disk"] * 6), "again"),
        (_ends(*["disk"] * 7), "later"),
        (_ends(*["preempted"] * 50, "killed", "killed"), "again"),
    ],
)
def test_each_kind_of_end_has_its_verdict(ends: list[End], verdict: str) -> None:
    assert decide(ends, retries=2) == verdict


def test_every_kind_of_end_has_a_rule() -> None:
    assert set(RULES) == set(get_args(EndKind))


def test_only_a_disk_that_failed_gets_pauses_and_they_grow() -> None:
    assert [pause_after(_ends(*["disk"] * times)) for times in range(1, 7)] == [2.0, 6.0, 18.0, 54.0, 162.0, 300.0]
    assert pause_after(_ends("disk", "disk", steps=[5, 9])) == 2.0  # the job made progress
    assert pause_after(_ends(*["killed"] * 1000)) == pause_after([]) == 0.0


def test_only_ends_since_the_last_progress_count() -> None:
    nights = range(10, 110, 10)
    assert decide(_ends(*["killed"] * 10, steps=nights), retries=2) == "again"
    stuck = [*nights, 100, 100, 100]
    assert decide(_ends(*["killed"] * 12, steps=stuck[:12]), retries=2) == "never"
    assert decide(_ends(*["hang"] * 5, steps=[5, 6, 7, 8, 9]), retries=2) == "again"


def test_without_retries_a_kill_is_the_end_and_a_preemption_is_not() -> None:
    assert decide(_ends("killed"), retries=0) == "never"
    assert decide(_ends("hang"), retries=0) == "never"
    assert decide(_ends("preempted"), retries=0) == "again"

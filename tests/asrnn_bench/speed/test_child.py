"""Timing in turns, with a clock that the test controls."""

from collections.abc import Callable

from asrnn_bench.speed.child import failure, time_rounds


class Clock:
    """A clock that only the steps advance."""

    def __init__(self) -> None:
        self.now = 100.0
        self.called: list[str] = []

    def step(self, name: str, *seconds: float) -> Callable[[], None]:
        left = list(seconds)

        def take() -> None:
            self.called.append(name)
            self.now += left.pop(0)

        return take


def test_every_step_is_timed_once_per_round_in_turns() -> None:
    clock = Clock()
    steps = {"a": clock.step("a", 1.0, 5.0, 2.0), "b": clock.step("b", 10.0, 20.0, 30.0)}
    ended: list[int] = []
    seconds, reasons = time_rounds(steps, 3, clock=lambda: clock.now, after_round=ended.append)
    assert clock.called == ["a", "b", "a", "b", "a", "b"]
    assert seconds == {"a": [1.0, 5.0, 2.0], "b": [10.0, 20.0, 30.0]}
    assert reasons == {}
    assert ended == [1, 2, 3]


def test_a_failing_step_is_left_out_with_a_reason() -> None:
    clock = Clock()

    def fail() -> None:
        clock.called.append("bad")
        if clock.called.count("bad") == 2:
            raise MemoryError("no\n room")

    steps = {"a": clock.step("a", 1.0, 1.0, 1.0), "bad": fail, "b": clock.step("b", 2.0, 2.0, 2.0)}
    seconds, reasons = time_rounds(steps, 3, clock=lambda: clock.now)
    assert clock.called == ["a", "bad", "b", "a", "bad", "b", "a", "b"]
    assert seconds == {"a": [1.0] * 3, "b": [2.0] * 3}
    assert reasons == {"bad": "MemoryError: no room"}


def test_a_failure_without_a_message_has_its_type() -> None:
    assert failure(MemoryError()) == "MemoryError"

"""Decide what one call of ``asrnn-bench speed`` measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asrnn.errors import UsageError
from asrnn_bench.machine.capacity import available_cores
from asrnn_bench.speed.contenders import ALL, Contender, choose_contenders
from asrnn_bench.speed.growth import CONTENDERS
from asrnn_bench.speed.roofline import SQUARE
from asrnn_bench.speed.sizes import GROWTH, SIZES, Size, parse_sizes

ROUNDS = 3


@dataclass(frozen=True)
class SpeedPlan:
    """The measurements to make.

    Args:
        contenders: the contenders whose training steps are timed.
        sizes: the sizes at which they are timed.
        threads: the numbers of CPU threads, in increasing order. Memory and growth are measured with the last.
        on_cpu: measure on the CPU even if there is a GPU, because the user named numbers of threads.
        rounds: the number of times that each step is timed.
        axes: the sizes along each axis of growth; empty for no growth.
        growing: the contenders whose growth is measured.
        square: the side of the square matrix product.
        memory: measure the peak memory too, in a process for each contender and size.
    """

    contenders: Sequence[Contender]
    sizes: Sequence[Size]
    threads: Sequence[int]
    on_cpu: bool = False
    rounds: int = ROUNDS
    axes: Mapping[str, Sequence[Size]] = field(default_factory=dict)
    growing: Sequence[Contender] = ()
    square: int = SQUARE
    memory: bool = True

    @property
    def growth_sizes(self) -> list[Size]:
        """The sizes of all axes, without the duplicate where the axes cross."""
        return list(dict.fromkeys(size for sizes in self.axes.values() for size in sizes))


def make_plan(
    *, models: Sequence[str], sizes: str | None, threads: Sequence[int], rounds: int | None, quick: bool
) -> SpeedPlan:
    """Return the plan for a user's options. An empty option has its default.

    Args:
        models: the names of the contenders.
        sizes: the sizes as text, or None.
        threads: the numbers of threads.
        rounds: the number of rounds, or None.
        quick: measure only the first size, with all cores and without growth.

    Raises:
        AsrnnError: an option is invalid.
    """
    cores = len(available_cores())
    for number in threads:
        if not 1 <= number <= cores:
            raise UsageError(f"--threads {number} must be from 1 to the {cores} cores there are")
    contenders = choose_contenders(models)
    return SpeedPlan(
        contenders=contenders,
        sizes=parse_sizes(sizes) if sizes is not None else SIZES[:1] if quick else SIZES,
        threads=sorted(set(threads)) or ([cores] if quick else sorted({1, cores})),
        on_cpu=bool(threads),
        rounds=rounds or ROUNDS,
        axes={} if quick or ALL in models else GROWTH,
        memory=ALL not in models,
        growing=[one for one in contenders if models or one.name in CONTENDERS],
    )

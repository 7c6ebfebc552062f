"""A batch tile per thread: each thread takes some samples through all time steps, and no step waits for another."""

import itertools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Tile = TypeVar("Tile")
Result = TypeVar("Result")

_FEWEST_ROWS = 8  # fewer samples than this and the recurrent product is bound by memory: not worth a thread

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def tiles_of(batch_size: int, most: int = sys.maxsize) -> list[slice]:
    """Cut a batch into as many tiles as torch has threads, where there are samples enough and no limit is exceeded."""
    number = max(1, min(torch.get_num_threads(), batch_size // _FEWEST_ROWS, most))
    bounds = [batch_size * i // number for i in range(number + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]


def for_each_tile(work: Callable[[Tile], Result], tiles: Sequence[Tile]) -> list[Result]:
    """Return ``work`` of each tile, each in a thread of its own where there are several, without gradients."""
    if len(tiles) == 1:
        return [_alone(work, tiles[0])]
    pool = _pool(max(len(tiles), torch.get_num_threads()))
    running = [pool.submit(_alone, work, tile) for tile in tiles]
    wait(running)  # all of them, also where one fails: they write to the same tensors
    return [each.result() for each in running]


def _alone(work: Callable[[Tile], Result], tile: Tile) -> Result:
    with torch.no_grad():
        return work(tile)


def _pool(size: int) -> ThreadPoolExecutor:
    """Return a pool whose threads give torch's operations one thread each."""
    with _lock:
        if size not in _pools:
            threads = torch.get_num_threads()
            ready = threading.Barrier(size + 1)
            pool = ThreadPoolExecutor(size, thread_name_prefix="asrnn-tile", initializer=_one_thread, initargs=(ready,))
            try:
                for _ in range(size):
                    pool.submit(int)
                ready.wait()
            except BaseException:  # a thread could not be started: the others must not wait for it for ever
                ready.abort()
                pool.shutdown(wait=False)
                raise
            finally:
                torch.set_num_threads(threads)  # the global number too, which was 1 for that moment
            _pools[size] = pool
        return _pools[size]


def _one_thread(ready: threading.Barrier) -> None:
    # torch gives a thread the global number on its first question, and keeps a later setting for this thread.
    torch.get_num_threads()
    torch.set_num_threads(1)
    ready.wait()


def _forget() -> None:
    global _lock
    _lock = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_forget)  # a forked child has none of its parent's threads

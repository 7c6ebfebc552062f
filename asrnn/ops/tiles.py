"""Divide a batch into tiles, one per thread. Each thread computes all time steps of its tile and waits for no other."""

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

_MIN_TILE = 8  # samples; with fewer, memory limits the recurrent product, and another thread does not pay

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def tiles_of(batch_size: int, max_tiles: int = sys.maxsize) -> list[slice]:
    """Divide a batch into one tile for each of torch's threads, or into fewer where the batch is small.

    Args:
        batch_size: the number of samples.
        max_tiles: the largest number of tiles.
    """
    number = max(1, min(torch.get_num_threads(), batch_size // _MIN_TILE, max_tiles))
    bounds = [batch_size * i // number for i in range(number + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]


def for_each_tile(work: Callable[[Tile], Result], tiles: Sequence[Tile]) -> list[Result]:
    """Call ``work`` for each tile, without gradients, in one thread per tile, and return the results in order."""
    if len(tiles) == 1:
        return [_without_gradients(work, tiles[0])]
    pool = _pool(max(len(tiles), torch.get_num_threads()))
    running = [pool.submit(_without_gradients, work, tile) for tile in tiles]
    wait(running)  # for all of them even if one fails, because they write to the same tensors
    return [each.result() for each in running]


def _without_gradients(work: Callable[[Tile], Result], tile: Tile) -> Result:
    with torch.no_grad():
        return work(tile)


def _pool(size: int) -> ThreadPoolExecutor:
    """Return a thread pool in which each thread runs torch's operations on one thread."""
    with _lock:
        if size not in _pools:
            threads = torch.get_num_threads()
            ready = threading.Barrier(size + 1)
            pool = ThreadPoolExecutor(size, thread_name_prefix="asrnn-tile", initializer=_one_thread, initargs=(ready,))
            try:
                for _ in range(size):
                    pool.submit(int)
                ready.wait()
            except BaseException:  # a thread could not be started; release those that wait for it
                ready.abort()
                pool.shutdown(wait=False)
                raise
            finally:
                torch.set_num_threads(threads)  # the threads have set the global number to 1 as well
            _pools[size] = pool
        return _pools[size]


def _one_thread(ready: threading.Barrier) -> None:
    # The first call of get_num_threads gives a thread the global number. A later setting holds for this thread only.
    torch.get_num_threads()
    torch.set_num_threads(1)
    ready.wait()


def _reset() -> None:
    global _lock
    _lock = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_reset)  # a forked child has none of its parent's threads

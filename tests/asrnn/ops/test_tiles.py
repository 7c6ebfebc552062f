"""Tiles of a batch: with torch's threads, with threads of users, and in forked children."""

import copy
import os
import signal
import threading

import pytest
import torch
from scan_support import equal, random_run, run

from asrnn.ops import buffers, scan_with, tiles

pytestmark = pytest.mark.usefixtures("nan_memory", "backend")


def test_the_number_of_torch_threads_stays_the_same(cell, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "_pools", {})
    threads, seen = torch.get_num_threads(), []
    cell.scan(random_run(cell, 40, 5)[0])
    assert torch.get_num_threads() == threads
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [threads]


def test_a_tile_per_thread(backend: str) -> None:
    threads = torch.get_num_threads()
    assert [tile.stop - tile.start for tile in tiles.tiles_of(41)] == ([20, 21] if threads == 2 else [41])
    assert tiles.tiles_of(41, 1) == [slice(0, 41)]
    assert tiles.tiles_of(9) == [slice(0, 9)]
    at_once = threading.Barrier(threads)  # it would break after a minute if the tiles ran one after the other
    tiles.for_each_tile(lambda _: at_once.wait(60), tiles.tiles_of(41))
    if threads == 2:
        assert tiles.for_each_tile(lambda _: torch.get_num_threads(), [1, 2]) == [1, 1]


def test_a_thread_that_cannot_start_is_an_error_and_no_deadlock(monkeypatch) -> None:
    monkeypatch.setattr(tiles, "_pools", {})
    start, started = threading.Thread.start, []

    def limited(thread) -> None:
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        tiles.for_each_tile(lambda tile: tile, [1, 2, 3])
    assert torch.get_num_threads() == threads
    started[0].join(10)
    assert not started[0].is_alive()


def test_concurrent_scans_do_not_interfere(cell, backend: str) -> None:
    runs = [random_run(cell, 16 + k, 30) for k in range(4)]
    cells = [copy.deepcopy(cell) for _ in runs]
    expected = [run(cell, *each) for each in runs]
    found = [None] * len(runs)

    def work(k: int) -> None:
        with scan_with(backend):
            for _ in range(5):
                found[k] = run(cells[k], *runs[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


def test_a_forked_child_scans(cell) -> None:
    x, _ = random_run(cell, 40, 5)
    expected = cell.scan(x)[0].detach()
    with buffers._pool._lock, tiles._lock:  # as if another thread held them
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # ends a child that would wait for ever
            os._exit(0 if torch.equal(cell.scan(x)[0], expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

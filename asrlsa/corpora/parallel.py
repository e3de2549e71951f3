"""Work on many files, over all cores where it is worth it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from time import monotonic
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_ALONE_SECONDS = 3.0  # starting workers takes about a second each
_AHEAD = 4  # tasks a worker that are waiting: memory stays bounded


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int,
    *,
    begin: Callable[..., None] | None = None,
    given: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """Yield ``work(item)`` for every item, in any order; few items and results are in memory at a time.

    The first seconds are worked here; only what takes longer is worth starting other processes.

    Args:
        work: A function that can be pickled.
        items: What to work on, taken as it is needed.
        jobs: Processes; 1 works here alone.
        begin: Called first wherever there is work, with ``given``.
        given: What ``begin`` gets.
    """
    waiting = iter(items)
    if begin is not None:
        begin(*given)
    start = monotonic()
    for item in waiting:
        yield work(item)
        if jobs > 1 and monotonic() - start > _ALONE_SECONDS:
            yield from _in_pool(work, waiting, jobs, begin, given)


def _in_pool(
    work: Callable[[Item], Result],
    items: Iterator[Item],
    jobs: int,
    begin: Callable[..., None] | None,
    given: tuple[Any, ...],
) -> Iterator[Result]:
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(begin, given)
    )
    running: set[Future[Result]] = set()
    try:
        for item in items:
            running.add(pool.submit(work, item))
            if len(running) >= _AHEAD * jobs:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process stops the others
    if begin is not None:
        begin(*given)

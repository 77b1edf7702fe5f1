"""Reading and writing pictures in threads of their own, while the networks are at work on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items in the same order; each is made in a thread while the caller works on the one before."""
    source = iter(items)
    with ThreadPoolExecutor(1, "reading") as thread:
        coming = thread.submit(_next, source)
        while item := coming.result():
            coming = thread.submit(_next, source)
            yield item[0]


def _next(source: Iterator[T]) -> tuple[T] | None:
    return next(((item,) for item in source), None)


@contextmanager
def write_behind() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Gives a function that makes calls in a thread, in their order, while the caller goes on. While one is under way,
    handing over the next one waits for it.

    When the block ends, by Ctrl-C too, all of them are done. What one raises is raised at the next, or at the end.
    """
    under_way: list[Future[None]] = []

    def finish() -> None:
        while under_way:
            under_way.pop().result()

    def do(call: Callable[[], None]) -> None:
        finish()
        under_way.append(thread.submit(call))

    with ThreadPoolExecutor(1, "writing") as thread:
        yield do
        finish()

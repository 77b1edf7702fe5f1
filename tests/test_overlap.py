"""Pictures are read and written while others are worked on: in their order, one at a time, and none is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from visage.cli.overlap import read_ahead, write_behind

# Seconds: more than any thread needs to begin, if it ever does.
LONG = 20


class Source:
    """Numbers from 0 on, and how many of them were made."""

    def __init__(self, count: int, broken: int | None = None) -> None:
        self.count, self.broken = count, broken
        self.made = [threading.Event() for _ in range(count)]

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            if number == self.broken:
                raise OSError("the drive is gone")
            self.made[number].set()
            yield number


def test_all_come_in_their_order() -> None:
    for count in (0, 1, 2, 50):
        assert list(read_ahead(range(count))) == list(range(count))
    assert list(read_ahead([None, 0, ""])) == [None, 0, ""]


def test_the_next_one_is_made_in_the_meantime_and_no_other() -> None:
    source = Source(5)
    for number in read_ahead(source):
        if number < 4:
            assert source.made[number + 1].wait(LONG)
        time.sleep(0.02)
        assert not any(made.is_set() for made in source.made[number + 2 :])


def test_what_goes_wrong_with_one_comes_after_those_before_it() -> None:
    coming = read_ahead(Source(5, broken=3))
    assert [next(coming) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="drive is gone"):
        next(coming)


def test_who_asks_goes_on_before_a_call_is_done() -> None:
    goes_on = threading.Event()
    with write_behind() as do:
        do(lambda: None if goes_on.wait(LONG) else pytest.fail("it was waited for"))
        goes_on.set()


def test_calls_are_made_in_their_order_and_one_at_a_time() -> None:
    at_work, made = threading.Lock(), []

    def call(number: int) -> None:
        assert at_work.acquire(blocking=False)
        time.sleep(0.01)
        made.append(number)
        at_work.release()

    with write_behind() as do:
        for number in range(10):
            do(lambda number=number: call(number))
            assert len(made) >= number
    assert made == list(range(10))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_begun_is_done_when_the_work_is_ended(error: type[BaseException]) -> None:
    made = []

    def call() -> None:
        time.sleep(0.2)
        made.append(1)

    def work() -> None:
        with write_behind() as do:
            do(call)
            raise error

    with pytest.raises(error):
        work()
    assert made == [1]


@pytest.mark.parametrize("more", [0, 2])
def test_what_goes_wrong_in_a_call_is_raised(more: int) -> None:
    made = []

    def fail() -> None:
        raise OSError("the drive is gone")

    def work() -> None:
        with write_behind() as do:
            do(fail)
            for _ in range(more):
                do(lambda: made.append(1))

    with pytest.raises(OSError, match="drive is gone"):
        work()
    assert made == []

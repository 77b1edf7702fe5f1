"""Places in an order as people write them: ``0,2-4,-1``."""

from __future__ import annotations

import re

_PLACE = re.compile(r"(-?\d+)(?:\s*-\s*(-?\d+))?")


def parse_places(text: str, count: int) -> tuple[int, ...]:
    """Which of ``count`` things a list names, in the order of the list, each once.

    Args:
        text: places and ranges with commas between them. Places count from 0; negative ones count from the end, -1 is
            the last. A range includes both of its ends: ``2--1`` is all from the third on. What does not exist is
            left out, so ``0-99`` is all of them and ``5`` is nothing where there are four.
        count: how many there are.

    Raises:
        ValueError: something between two commas is neither a place nor a range, or a range runs backwards.
    """
    named: dict[int, None] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        found = _PLACE.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"'{part.strip()}' is no place. Write places and ranges from 0 on, such as 0,2-4,-1.")
        first, last = int(found[1]), int(found[1] if found[2] is None else found[2])
        if last < first and (last < 0) == (first < 0):
            raise ValueError(f"The range '{part.strip()}' runs backwards. Write the smaller number first.")
        begin, end = (place + count if place < 0 else place for place in (first, last))
        named |= dict.fromkeys(range(max(begin, 0), min(end + 1, count)))
    return tuple(named)

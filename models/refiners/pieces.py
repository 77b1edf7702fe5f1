"""The word ``BREAK`` in a prompt: what follows it is read apart from what stands before it."""

from __future__ import annotations

import re

_BREAK = re.compile(r"\bBREAK\b")


def pieces_of(text: str) -> list[str]:
    """The texts before, between and after the words ``BREAK``, but for empty ones; at least one, which may be empty.

    Each is encoded by itself, and what comes of them is put in a row, as A1111 and the Impact Pack do.
    """
    pieces = [piece.strip() for piece in _BREAK.split(text)]
    if len(pieces) == 1:
        return [text]
    return [piece for piece in pieces if piece] or [""]

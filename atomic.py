"""Files that are either whole or not there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Gives a path beside ``target`` to write to, and moves what was written onto ``target`` at the end.

    The path keeps the suffix of ``target``, which some writers go by, and begins with a dot. The rest is short and
    drawn by lot, so that two programs that write the same file do not meet. If the block is left by an exception,
    Ctrl-C included, the unfinished file is removed and ``target`` stays as it was.
    """
    unfinished = target.with_name(f".{secrets.token_hex(8)}.part{target.suffix}")
    try:
        yield unfinished
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)

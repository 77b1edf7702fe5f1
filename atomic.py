"""Files that are either whole or not there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Gives a path beside ``target`` to write to, and moves what was written onto ``target`` at the end.

    The path keeps the suffix of ``target``, which some writers go by, and begins with a dot. The rest is short and
    drawn by lot, so that two programs that write the same file do not meet. If the block is left by an exception,
    Ctrl-C included, the unfinished file is removed and ``target`` stays as it was.
    """
    unfinished = _beside(target)
    try:
        yield unfinished
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Writes files that belong together, and makes their folders.

    None appears before all are written. If one cannot be, or Ctrl-C is pressed, none is new: those that were there
    before may have been replaced.

    Raises:
        OSError: the disk does not take one of them.
    """
    unfinished = {target: _beside(target) for target in files}
    new: list[Path] = []
    try:
        for target, content in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished[target].write_bytes(content)
        for target, written in unfinished.items():
            if not target.exists():
                new.append(target)
            written.replace(target)
        new.clear()
    finally:
        for path in (*new, *unfinished.values()):
            path.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{secrets.token_hex(8)}.part{target.suffix}")

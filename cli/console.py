"""Lines for whoever runs a command, above the progress bar if there is one."""

from __future__ import annotations

import sys
from typing import TextIO

from tqdm import tqdm


def say(line: str) -> None:
    """What was done, on stdout."""
    _write(line, sys.stdout)


def warn(line: str) -> None:
    """What was not, on stderr."""
    _write(line, sys.stderr)


def _write(line: str, stream: TextIO) -> None:
    tqdm.write(line, file=stream)
    stream.flush()

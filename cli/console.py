"""Lines for whoever runs a command, above the progress bar if there is one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

from tqdm import tqdm


def say(line: str) -> None:
    """What was done, on stdout. Where nobody reads it any more, as after ``| head``, the work goes on without."""
    try:
        say_to_reader(line)
    except BrokenPipeError:
        silence(sys.stdout)


def say_to_reader(line: str) -> None:
    """The same where there is nothing but what is said. Raises ``BrokenPipeError`` where nobody reads it any more."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def warn(line: str) -> None:
    """What was not done, on stderr, for as long as somebody reads it."""
    try:
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()
    except BrokenPipeError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Has what is written to a stream from now on, and what waits in it, go nowhere."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())

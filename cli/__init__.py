"""The command line: ``visage restore | refine | detect | report | models``."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from .. import __version__

# What shells give for a program that was ended since nobody reads what it says: 128 + SIGPIPE.
_UNHEARD = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0 if all went well, 1 if something failed, 130 after Ctrl-C, and 141 where it ended
    because nobody reads what it says."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold what the terminal cannot show.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(argv)
        finally:
            # Here, where it can be answered, and not when Python ends.
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("Stopped. Finished pictures are kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        from .console import silence

        silence(sys.stdout)
        return _UNHEARD


def _run(argv: Sequence[str] | None) -> int:
    # Late, so that `import visage.cli` stays cheap. It takes seconds, in which Ctrl-C may be pressed, too.
    from . import detect, models, refine, report, restore

    parser = argparse.ArgumentParser(prog="visage", description="Find, restore and refine faces in pictures.")
    parser.add_argument("--version", action="version", version=f"visage {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in (restore, refine, detect, report, models):
        command.add_parser(commands)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code

"""The command line: ``visage restore | refine | detect | report | models``."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..opencv import OpenCVError

# What shells give for a program that was ended since nobody reads what it says: 128 + SIGPIPE.
_UNHEARD = 141
# Each is a module here.
_COMMANDS = {
    "restore": "restore the faces in pictures",
    "refine": "repaint the faces in pictures with a diffusion model",
    "detect": "find faces in pictures",
    "report": "measure how good the pictures of faces are, and compare them with those of another",
    "models": "list, get, verify and convert weight files",
}


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
    except OpenCVError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        from .console import silence

        silence(sys.stdout)
        return _UNHEARD


def _run(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="visage", description="Find, restore and refine faces in pictures.")
    parser.add_argument("--version", action="version", version=f"visage {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name in words:
            # Only what is asked for, since with PyTorch it takes seconds; Ctrl-C may be pressed in them, too.
            import_module(f".{name}", __package__).add_options(command)
    arguments = parser.parse_args(words)
    code: int = arguments.run(arguments)
    return code

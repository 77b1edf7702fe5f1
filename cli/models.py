"""``visage models``: lists, fetches, checks and converts weight files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..models.catalogue import (
    CATALOGUE,
    KINDS,
    Kind,
    KnownWeights,
    by_file_name,
    by_name,
    by_sha256,
    licence_line,
    of_kind,
)
from ..models.convert import convert
from ..models.download import DownloadError, download, sha256_of
from ..models.locations import as_meant, available, close_names, find_weights, folder_for
from ..models.weights import WeightsError
from .options import folder


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds its own commands. The parsed arguments carry ``run``."""
    commands = parser.add_subparsers(dest="models_command", metavar="COMMAND", required=True)
    parser.set_defaults(run=run)

    lists = commands.add_parser("list", help="known weights, their licences, and where they were found")
    lists.add_argument("--kind", choices=KINDS, help="only weights of this kind")
    lists.add_argument("--json", action="store_true", help="print JSON instead of a table")

    gets = commands.add_parser("get", help="download known weights; nothing else in Visage downloads anything")
    gets.add_argument("names", nargs="+", metavar="NAME", help="name or file name, as `visage models list` shows them")
    gets.add_argument("--unverified", action="store_true", help="also take files of which no sha256 is known")

    verifies = commands.add_parser("verify", help="compare files with the sha256 of the known weights")
    verifies.add_argument("names", nargs="*", metavar="NAME|FILE", help="default: every file that is found")

    converts = commands.add_parser("convert", help="turn a PyTorch pickle into safetensors with the same numbers")
    converts.add_argument("source", metavar="SOURCE", type=Path, help="a .pth, .pt or .ckpt file")
    converts.add_argument("target", metavar="TARGET", type=Path, nargs="?", help="default: beside SOURCE")
    converts.add_argument("--overwrite", action="store_true", help="replace TARGET if it is there")

    for command in (lists, verifies):
        command.add_argument(
            "--models", metavar="DIR", type=folder, action="append", default=[], help="look here first"
        )
    gets.add_argument(
        "--models", metavar="DIR", type=Path, action="append", default=[], help="put the files here, made if need be"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs one of the commands. Returns the exit code: 0, or 1 where something failed, told on stderr."""
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list,
        "get": _get,
        "verify": _verify,
        "convert": _convert,
    }
    return commands[arguments.models_command](arguments)


@dataclass(frozen=True)
class _Row:
    """One line of the list: weights that are known, or found, or both."""

    kind: str
    known: KnownWeights | None
    path: Path | None

    @property
    def name(self) -> str:
        if self.known is not None:
            return self.known.name
        return self.path.name if self.path is not None else ""

    @property
    def size(self) -> int | None:
        if self.path is not None:
            return self.path.stat().st_size
        return self.known.size if self.known is not None else None

    def as_json(self) -> dict[str, object]:
        known = self.known
        return {
            "name": self.name,
            "kind": self.kind,
            "file": self.path.name if self.path is not None else known.file_name if known else None,
            "architecture": known.architecture if known else None,
            "bytes": self.size,
            "sha256": known.sha256 if known else None,
            "licence": known.licence.name if known else None,
            "licence_note": known.licence.note if known else None,
            "commercial_use": known.licence.commercial if known else None,
            "urls": list(known.urls) if known else [],
            "path": str(self.path) if self.path is not None else None,
        }


def _rows(kinds: Iterable[Kind], extra: Sequence[Path]) -> list[_Row]:
    rows: list[_Row] = []
    strangers: dict[Path, list[str]] = {}
    for kind in kinds:
        files = {path: by_file_name(path.name) for path in available(kind, extra)}
        for known in of_kind(kind):
            paths = [path for path, entry in files.items() if entry is known]
            rows += [_Row(kind, known, path) for path in paths] or [_Row(kind, known, None)]
        for path, entry in files.items():
            if entry is None:
                strangers.setdefault(path, []).append(kind)
    # What lies in a folder for several kinds may be any of them.
    return rows + [_Row(found[0] if len(found) == 1 else "?", None, path) for path, found in strangers.items()]


def _list(arguments: argparse.Namespace) -> int:
    rows = _rows([arguments.kind] if arguments.kind else KINDS, arguments.models)
    if arguments.json:
        print(json.dumps([row.as_json() for row in rows], indent=2))
        return 0
    header = ("NAME", "KIND", "SIZE", "COMMERCIAL", "LICENCE", "FOUND AT")
    table = [header] + [
        (
            row.name,
            row.kind,
            _megabytes(row.size),
            row.known.licence.commercial if row.known else "?",
            row.known.licence.name if row.known else "not known",
            str(row.path) if row.path else "-",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _megabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.1f} MB"


def _get(arguments: argparse.Namespace) -> int:
    folder = arguments.models[0] if arguments.models else None
    done = [_attempt(partial(_get_one, name, folder, arguments.unverified)) for name in arguments.names]
    return 0 if all(done) else 1


def _get_one(name: str, folder: Path | None, unverified: bool) -> None:
    known = by_name(name) or by_file_name(name)
    if known is None:
        raise DownloadError(f"{name} is not in the catalogue.{_meant(name)} `visage models list` shows what is.")
    if not known.urls:
        print(f"{known.name} comes with Visage: there is nothing to get.")
        return
    target = (folder or folder_for(known)) / known.file_name
    if target.exists():
        if known.sha256 is not None and sha256_of(target) != known.sha256:
            raise DownloadError(f"{target} is there, but it is not the known file. Move it away to download this one.")
        print(f"{known.name}: already at {target}")
        return
    if known.sha256 is None and not unverified:
        raise DownloadError(
            f"{known.name}: no sha256 is known, so a wrong or altered file would not be noticed. "
            "Add --unverified to download it all the same."
        )
    print(f"{known.name}: {licence_line(known.file_name)}")
    if not any(_attempt(partial(_download_with_bar, url, target, known)) for url in known.urls):
        raise DownloadError(f"{known.name} could not be downloaded.")
    print(f"{known.name}: {target}")


def _meant(name: str) -> str:
    close = close_names(name, (each for known in CATALOGUE for each in (known.name, known.file_name)))
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _download_with_bar(url: str, target: Path, known: KnownWeights) -> None:
    from tqdm import tqdm

    with tqdm(desc=known.file_name, unit="B", unit_scale=True, leave=False) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        download(url, target, known.sha256, show)


def _verify(arguments: argparse.Namespace) -> int:
    names = arguments.names or dict.fromkeys(path for kind in KINDS for path in available(kind, arguments.models))
    done = [_attempt(partial(_verify_one, name, arguments.models)) for name in names]
    return 0 if all(done) else 1


def _verify_one(name: str | Path, extra: Sequence[Path]) -> None:
    """Prints what a file is. Only one that bears a known name over other bytes is at fault."""
    path = _find_any(name, extra)
    sha256 = sha256_of(path)
    known = by_file_name(path.name)
    if by_sha256(sha256) is not None:
        print(f"ok         {path}")
    elif known is None or known.sha256 is None or path.suffix.lower() != Path(known.file_name).suffix.lower():
        print(f"not known  {path}")
    else:
        print(f"DIFFERENT  {path}")
        raise WeightsError(
            f"{path.name} is not the file that is published under this name: altered, damaged or another version "
            f"(sha256 {sha256}, expected {known.sha256})."
        )


def _find_any(name: str | Path, extra: Sequence[Path]) -> Path:
    """A file, or weights of the kind that the catalogue says, or of whichever kind a folder has."""
    if as_meant(name).is_file():
        return as_meant(name)
    known = by_name(str(name)) or by_file_name(str(name))
    if known is not None:
        return find_weights(name, known.kind, extra)
    for kind in KINDS:
        for path in available(kind, extra):
            if str(name).lower() in (path.name.lower(), path.stem.lower()):
                return path
    raise FileNotFoundError(f"No weights called {name}. `visage models list` shows what was found.")


def _convert(arguments: argparse.Namespace) -> int:
    done = _attempt(lambda: print(convert(arguments.source, arguments.target, overwrite=arguments.overwrite)))
    return 0 if done else 1


def _attempt(action: Callable[[], None]) -> bool:
    """Whether it succeeded. What went wrong is told on stderr."""
    try:
        action()
    except BrokenPipeError:
        raise  # nobody reads what is printed
    except (DownloadError, WeightsError, OSError) as error:
        print(error, file=sys.stderr)
        return False
    return True

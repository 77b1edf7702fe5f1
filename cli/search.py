"""What an input leads to: the picture itself, those in a folder, or those that fit a pattern."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..models.locations import as_meant
from .images import SUFFIXES

# Pictures that cannot be read here, by which somebody could miss them among the results.
_OTHER_PICTURES = frozenset(
    (
        *(".heic", ".heif", ".avif", ".jxl", ".gif", ".jp2", ".j2k", ".jpe", ".mpo", ".tga", ".exr", ".hdr"),
        *(".psd", ".psb", ".xcf", ".ppm", ".pgm", ".pbm", ".pnm", ".pcx", ".qoi", ".dds"),
        *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw"),
    )
)
_COMPARED = "_compare"


class Search:
    """Looks for pictures, and remembers what it left out.

    In folders and patterns ``NAME_compare`` beside ``NAME`` is no picture of its own.

    Args:
        outputs: folders for results, which are no inputs where they lie in an input folder.
    """

    def __init__(self, outputs: Sequence[Path] = ()) -> None:
        self._outputs = outputs
        self._problems: dict[str, None] = {}
        self._left_out: dict[Path, str] = {}

    @property
    def problems(self) -> list[str]:
        """A sentence for each input that leads nowhere, and for each folder that cannot be entered."""
        return list(self._problems)

    def pictures(self, given: str) -> Iterator[tuple[Path, Path]]:
        """The pictures of one input, each with its name below the output folder, sorted by path."""
        nothing = True
        try:
            for found in self._expand(given):
                nothing = False
                yield found
        except PermissionError as error:
            self._not_entered(error, Path(given).parent)
        except OSError as error:  # a name that is too long, a drive that is gone
            self._complain(f"{given}: cannot be looked at ({error.strerror}).")
        else:
            if nothing:
                self._complain(_nothing_at(given))

    @property
    def left_out(self) -> str | None:
        """A line that counts what was left out, by kind."""
        if not self._left_out:
            return None
        counted = sorted(Counter(self._left_out.values()).items())
        kinds = (f"{count} {kind}{'s' if count > 1 and not kind.startswith('.') else ''}" for kind, count in counted)
        return f"Left out: {', '.join(kinds)}."

    def _expand(self, given: str) -> Iterator[tuple[Path, Path]]:
        path = as_meant(given)
        if path.is_file():
            yield path, Path(path.name)
            return
        base = path if path.is_dir() else _before_wildcards(path)
        earlier_results = [output for output in self._outputs if not _lies_in(base, output)]

        def is_input(path: Path) -> bool:
            return not path.name.startswith(".") and not any(_lies_in(path, results) for results in earlier_results)

        for source in self._in_folder(path, is_input) if path.is_dir() else self._matches(path, is_input):
            yield source, source.relative_to(base)

    def _in_folder(self, folder: Path, is_input: Callable[[Path], bool]) -> Iterator[Path]:
        """Folders that are links are not entered: they may lead in circles."""
        for here, folders, names in os.walk(folder, onerror=self._not_entered):
            inputs = [path for name in sorted(folders) if is_input(path := Path(here, name))]
            self._left_out |= {path: "linked folder" for path in inputs if path.is_symlink()}
            folders[:] = [path.name for path in inputs if not path.is_symlink()]
            yield from (path for name in sorted(names) if is_input(path := Path(here, name)) and self._is_picture(path))

    def _matches(self, pattern: Path, is_input: Callable[[Path], bool]) -> Iterator[Path]:
        """What a shell would make of a pattern, and the pictures in the folders among it."""
        if not glob.has_magic(str(pattern)):
            return
        for match in sorted(map(Path, glob.glob(str(pattern), recursive=True))):  # noqa: PTH207 - Path's takes hidden files
            if match.is_dir() and "**" not in pattern.parts:
                yield from self._in_folder(match, is_input)
            elif not match.is_dir() and is_input(match) and self._is_picture(match):
                yield match

    def _is_picture(self, path: Path) -> bool:
        suffix = path.suffix.lower()
        try:
            if suffix in SUFFIXES and path.is_file():
                if not _is_comparison(path):
                    return True
                self._left_out[path] = "comparison"
            elif suffix in ("", *SUFFIXES) and path.is_symlink() and not path.exists():
                self._left_out[path] = "dead link"
            elif suffix in _OTHER_PICTURES:
                self._left_out[path] = suffix
        except PermissionError as error:
            self._not_entered(error, path.parent)
        return False

    def _not_entered(self, error: OSError, folder: Path | None = None) -> None:
        self._complain(f"{folder or error.filename}: this folder cannot be entered ({error.strerror}).")

    def _complain(self, problem: str) -> None:
        self._problems[problem] = None


def comparison_name(name: Path) -> Path:
    """What the picture of before and after is called that lies beside a result of this name."""
    return name.with_name(f"{name.stem}{_COMPARED}{name.suffix}")


def _is_comparison(path: Path) -> bool:
    result = path.stem.removesuffix(_COMPARED)
    return result not in ("", path.stem) and path.with_name(f"{result}{path.suffix}").is_file()


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _before_wildcards(pattern: Path) -> Path:
    """The leading folders of a pattern that have no wildcard in them."""
    plain: list[str] = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        plain.append(part)
    return Path(*plain)


def _nothing_at(given: str) -> str:
    path = as_meant(given)
    kinds = ", ".join(sorted(set(SUFFIXES)))
    if path.is_dir():
        return f"{given}: no pictures in this folder ({kinds})."
    if glob.has_magic(given):
        return f"{given}: no picture matches this pattern ({kinds})."
    return f"{given}: no such file or folder."

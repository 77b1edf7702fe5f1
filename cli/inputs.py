"""Turns what is given as INPUT into a list of pictures to read and files to write."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .images import SUFFIXES


class InputError(Exception):
    """The inputs and the output folder do not make sense together. The message says what to change."""


@dataclass(frozen=True)
class Job:
    """One picture: where it is and where the result goes, under the same name and in the same sub-folder."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        jobs: in the order of the inputs, sorted by path within a folder or pattern.
        existing: results that are there already and would be overwritten; not among the jobs.
        problems: a sentence for each input that leads nowhere, where other inputs do.
    """

    jobs: tuple[Job, ...]
    existing: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()


def find(inputs: Sequence[str]) -> Plan:
    """Finds pictures that are only looked at: each job's target is its source.

    Raises:
        InputError: nothing was found.
    """
    sources: dict[tuple[int, int], Path] = {}
    problems: list[str] = []
    for given in inputs:
        found = [source for source, _ in _expand(given, None)]
        if not found:
            problems.append(_nothing_at(given))
        for source in found:
            sources.setdefault(_identity(source), source)
    if not sources:
        raise InputError("\n".join(problems))
    return Plan(tuple(Job(source, source) for source in sources.values()), problems=tuple(problems))


def plan_drawings(inputs: Sequence[str], drawings: Path | None, *, overwrite: bool = False) -> Plan:
    """:func:`plan` for a folder of drawings, :func:`find` where none are asked for."""
    return find(inputs) if drawings is None else plan(inputs, drawings, overwrite=overwrite)


def plan(inputs: Sequence[str], output: Path, *, overwrite: bool = False) -> Plan:
    """Finds the pictures and decides where their results go.

    An input is a file (of any name), a folder (every picture in it and in its sub-folders) or a pattern with ``*``,
    ``?``, ``[...]`` or ``**``, for shells that leave patterns alone. Below folders and before the first wildcard of
    patterns, sub-folders are kept. Hidden files are left out, and so is the output folder where it lies in an input
    folder.

    Raises:
        InputError: nothing was found, the output is no folder, a result would overwrite an input, or two inputs have
            the same result.
    """
    if output.is_file() or (output.suffix.lower() in SUFFIXES and not output.is_dir()):
        raise InputError(f"--output is a folder for the results, and {output} looks like a file. Name a folder.")
    jobs: dict[tuple[int, int], Job] = {}
    problems: list[str] = []
    for given in inputs:
        found = list(_expand(given, output))
        if not found:
            problems.append(_nothing_at(given))
        for source, name in found:
            # The same picture by two ways is one job.
            jobs.setdefault(_identity(source), Job(source, output / name))
    if not jobs:
        raise InputError("\n".join(problems))
    _refuse_shared_targets(jobs.values())
    _refuse_overwritten_inputs(jobs)
    existing = () if overwrite else tuple(job.target for job in jobs.values() if job.target.exists())
    return Plan(tuple(job for job in jobs.values() if job.target not in set(existing)), existing, tuple(problems))


def _expand(given: str, output: Path | None) -> Iterator[tuple[Path, Path]]:
    """The pictures of one input, each with its name below the output folder."""
    path = Path(given).expanduser()
    if path.is_file():
        yield path, Path(path.name)
        return
    base = path if path.is_dir() else _before_wildcards(path)
    earlier_results = None if output is None or _lies_in(base, output) else output
    for source in _in_folder(path) if path.is_dir() else _matches(path):
        if earlier_results is None or not _lies_in(source, earlier_results):
            yield source, source.relative_to(base)


def _in_folder(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from filter(_is_picture, sorted(Path(here) / name for name in names))


def _matches(pattern: Path) -> Iterator[Path]:
    """What a shell would make of a pattern, and the pictures in the folders among it."""
    if not glob.has_magic(str(pattern)):
        return
    for match in sorted(map(Path, glob.glob(str(pattern), recursive=True))):  # noqa: PTH207 - Path's takes hidden files
        if match.is_dir() and "**" not in pattern.parts:
            yield from _in_folder(match)
        elif _is_picture(match):
            yield match


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


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _identity(path: Path) -> tuple[int, int]:
    """The same for every name of one file: links, other cases where these do not count, relative paths."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _nothing_at(given: str) -> str:
    path = Path(given).expanduser()
    kinds = ", ".join(sorted(set(SUFFIXES)))
    if path.is_dir():
        return f"{given}: no pictures in this folder ({kinds})."
    if glob.has_magic(given):
        return f"{given}: no picture matches this pattern ({kinds})."
    return f"{given}: no such file or folder."


def _refuse_shared_targets(jobs: Iterable[Job]) -> None:
    taken: dict[str, Path] = {}
    for job in jobs:
        first = taken.setdefault(os.path.normcase(job.target), job.source)
        if first != job.source:
            raise InputError(
                f"{first} and {job.source} would both be written to {job.target}. "
                "Give the folder above them, which keeps sub-folders apart, or run them with another --output."
            )


def _refuse_overwritten_inputs(jobs: Mapping[tuple[int, int], Job]) -> None:
    for job in jobs.values():
        if job.target.exists() and _identity(job.target) in jobs:
            raise InputError(f"{job.target} is one of the inputs and would be overwritten. Choose another --output.")

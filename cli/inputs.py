"""Turns what is given as INPUT into a list of pictures to read and files to write."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .images import SUFFIXES
from .search import Search, comparison_name

# Those of Job.crops_of.
_CROP = re.compile(r"(.+)_face\d+_(?:before|after)\.png")


class InputError(Exception):
    """The inputs and the output folder do not make sense together. The message says what to change."""


@dataclass(frozen=True)
class Job:
    """One picture: where it is and what is made of it, under the same name and in the same sub-folder.

    Attributes:
        target: the result.
        comparison: before and after side by side, where that is asked for.
        crops: where crops of its faces are asked for, what their paths begin with; see :meth:`crops_of`.
    """

    source: Path
    target: Path
    comparison: Path | None = None
    crops: Path | None = None

    def crops_of(self, face: int) -> tuple[Path, Path]:
        """``NAME_face1_before.png`` and ``NAME_face1_after.png`` for the first face."""
        assert self.crops is not None  # noqa: S101 - only asked where crops are planned
        before, after = (
            self.crops.with_name(f"{self.crops.name}_face{face}_{name}.png") for name in ("before", "after")
        )
        return before, after

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is written but the crops, of which nobody knows yet how many there are."""
        return (self.target,) if self.comparison is None else (self.target, self.comparison)


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        jobs: in the order of the inputs, sorted by path within a folder or pattern.
        existing: what is there already and would be overwritten, one for each picture of ``skipped``.
        problems: a sentence for each input that leads nowhere, where other inputs do.
        skipped: the pictures that are not among the jobs for that reason.
        overwrite: results that are there, or come to be there before their picture's turn, are replaced.
        left_out: a line on what lies among the pictures and is none that can be taken, if there is any.
    """

    jobs: tuple[Job, ...]
    existing: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()
    skipped: tuple[Job, ...] = ()
    overwrite: bool = False
    left_out: str | None = None


def find(inputs: Sequence[str]) -> Plan:
    """Finds pictures that are only looked at: each job's target is its source.

    Raises:
        InputError: nothing was found.
    """
    search = Search()
    sources: dict[str, Path] = {}
    for source, _ in _found(search, inputs):
        sources.setdefault(_entry(source), source)
    jobs = tuple(Job(source, source) for source in sources.values())
    return Plan(jobs, problems=tuple(search.problems), overwrite=True, left_out=search.left_out)


def plan_drawings(inputs: Sequence[str], drawings: Path | None, *, overwrite: bool = False) -> Plan:
    """:func:`plan` for a folder of drawings, :func:`find` where none are asked for."""
    return find(inputs) if drawings is None else plan(inputs, drawings, overwrite=overwrite)


def plan(
    inputs: Sequence[str], output: Path, *, overwrite: bool = False, compare: bool = False, crops: Path | None = None
) -> Plan:
    """Finds the pictures and decides where their results go.

    An input is a file (of any name), a folder (every picture in it and in its sub-folders) or a pattern with ``*``,
    ``?``, ``[...]`` or ``**``, for shells that leave patterns alone. Below folders and before the first wildcard of
    patterns, sub-folders are kept. Hidden files are left out, and so are the folders for results where they lie in an
    input folder, and folders that are links.

    Args:
        overwrite: replace what is there.
        compare: each result is to have a comparison beside it, ``NAME_compare`` with the same suffix.
        crops: folder for crops of the faces. Pictures whose names differ in nothing but the suffix keep it there.

    Raises:
        InputError: nothing was found, a folder for results is none or takes no files, something written would
            overwrite an input, or two inputs have the same result.
    """
    outputs = [output] if crops is None else [output, crops]
    for folder in outputs:
        if folder.is_file() or (folder.suffix.lower() in SUFFIXES and not folder.is_dir()):
            raise InputError(f"Results go into a folder, and {folder} looks like a file. Name a folder.")
    search = Search(outputs)
    jobs = tuple(_jobs(_distinct(_found(search, inputs)), output, compare, crops))
    there = _crops_there(jobs)
    _refuse_shared_targets(jobs)
    _refuse_overwritten_inputs(jobs, there)
    todo: list[Job] = []
    existing: dict[Job, Path] = {}
    for job in jobs:
        first = next((path for path in (*job.files, *there.get(job, ())) if path.exists()), None)
        if first is None or overwrite:
            todo.append(job)
        else:
            existing[job] = first
    written = (path for job in todo for path in (*job.files, *filter(None, [job.crops])))
    for folder in dict.fromkeys(path.parent for path in written):
        _refuse_closed_folder(folder, f"No results can be written to {folder}")
    return Plan(
        tuple(todo),
        tuple(existing.values()),
        tuple(search.problems),
        tuple(existing),
        overwrite,
        search.left_out,
    )


def refuse_report(report: Path | None, todo: Plan) -> None:
    """Raises ``InputError`` where a report cannot be written to that path, or would overwrite an input."""
    if report is None:
        return
    if report.is_dir():
        raise InputError(f"The report is a file, and {report} is a folder. Name a file in it.")
    _refuse_closed_folder(report.parent, f"No report can be written to {report}")
    if report.exists() and any(_identity(job.source) == _identity(report) for job in todo.jobs):
        raise InputError(f"{report} is one of the inputs and would be overwritten. Choose another name for the report.")
    if report.suffix.lower() in SUFFIXES:
        raise InputError(f"The report is JSON, and {report} is named as a picture is. Name it .json.")


def _refuse_closed_folder(folder: Path, words: str) -> None:
    """Raises ``InputError`` where no file can be put into a folder, or no such folder be made."""
    above = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{words}: {above} is no folder that takes files.")


def _jobs(names: Collection[tuple[Path, Path]], output: Path, compare: bool, crops: Path | None) -> Iterator[Job]:
    """For pictures and their names below the output folder."""
    alike = Counter(os.path.normcase(name.with_suffix("")) for _, name in names)
    for source, name in names:
        bare = name.with_suffix("")
        yield Job(
            source,
            output / name,
            output / comparison_name(name) if compare else None,
            None if crops is None else crops / (bare if alike[os.path.normcase(bare)] == 1 else name),
        )


def _found(search: Search, inputs: Sequence[str]) -> list[tuple[Path, Path]]:
    """All pictures with their names. Raises ``InputError`` where there are none."""
    found = [picture for given in inputs for picture in search.pictures(given)]
    if not found:
        raise InputError("\n".join([*search.problems, *filter(None, [search.left_out])]))
    return found


def _distinct(found: Iterable[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Each picture once, by whatever ways it was found. Links to it are pictures of their own, unless their results
    have the same name as well."""
    distinct: list[tuple[Path, Path]] = []
    seen: set[object] = set()
    for source, name in found:
        keys = {_entry(source), (_identity(source), os.path.normcase(name))}
        if not keys & seen:
            distinct.append((source, name))
        seen |= keys
    return distinct


def _entry(path: Path) -> str:
    """The same for every way to one name in one folder."""
    return os.path.normcase(path.parent.resolve() / path.name)


def _identity(path: Path) -> tuple[int, int]:
    """The same for every name of one file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _crops_there(jobs: Iterable[Job]) -> dict[Job, list[Path]]:
    """The crops of each picture that were written before."""
    beginnings = {os.path.normcase(job.crops): job for job in jobs if job.crops is not None}
    found: dict[Job, list[Path]] = {}
    for folder in {job.crops.parent for job in beginnings.values() if job.crops is not None}:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            job = beginnings.get(_beginning(path))
            if job is not None:
                found.setdefault(job, []).append(path)
    return found


def _beginning(path: Path) -> str:
    """What the path of a crop begins with, as keys do; empty for other files."""
    crop = _CROP.fullmatch(path.name)
    return os.path.normcase(path.with_name(crop[1])) if crop else ""


def _refuse_shared_targets(jobs: Collection[Job]) -> None:
    taken: dict[str, Path] = {}
    faces: dict[str, Path] = {}
    for job in jobs:
        if job.crops is not None:
            _refuse_shared(faces.setdefault(os.path.normcase(job.crops), job.source), job, job.crops_of(1)[0])
    for job in jobs:
        for path in job.files:
            _refuse_shared(taken.setdefault(os.path.normcase(path), job.source), job, path)
            _refuse_shared(faces.get(_beginning(path), job.source), job, path)


def _refuse_shared(first: Path, job: Job, path: Path) -> None:
    if first != job.source:
        raise InputError(
            f"{first} and {job.source} would both be written to {path}. "
            "Give the folder above them, which keeps sub-folders apart, or run them with another --output."
        )


def _refuse_overwritten_inputs(jobs: Collection[Job], crops: Mapping[Job, Sequence[Path]]) -> None:
    inputs = {_identity(job.source) for job in jobs}
    for job in jobs:
        for path in (*job.files, *crops.get(job, ())):
            if path.exists() and _identity(path) in inputs:
                raise InputError(f"{path} is one of the inputs and would be overwritten. Choose another folder.")

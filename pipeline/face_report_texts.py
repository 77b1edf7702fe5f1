"""Reports on faces for readers: as text for people, as plain data for programs, as captions for pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..faces.formatting import as_data, counted, in_words
from ..faces.quality import words
from .face_report import FaceReport

Reports = Sequence[Sequence[FaceReport]]


def report_text(reports: Reports) -> str:
    """Three lines for each face of each frame; images and faces are counted from 1."""
    lines = []
    for number, frame in enumerate(reports, start=1):
        lines.append(f"Image {number}: {report_total([frame])}")
        for report in frame:
            lines.append(f"- {in_words(report.face)}: {', '.join(_judged(report))}")
            lines += [f"  {', '.join(part)}" for part in (list(_pose(report)), list(_measures(report))) if part]
    return "\n".join(lines)


def report_total(reports: Reports) -> str:
    """How many faces there are in all frames together: ``3 faces``, or ``no face``."""
    count = sum(map(len, reports))
    return counted(count) if count else "no face"


def report_data(reports: Sequence[FaceReport]) -> list[dict[str, object]]:
    """What JSON takes of the faces of a frame; they are counted from 1, and what could not be told is null."""
    return [_data(report) for report in reports]


def report_caption(report: FaceReport) -> str:
    """What stands beside the number of the face on a picture, a line for each thing."""
    likeness = report.likeness
    alike = [] if likeness is None else [f"{likeness.similarity:.2f}"]
    return "\n".join([*words(report.quality), *alike])


def _judged(report: FaceReport) -> Iterator[str]:
    yield from words(report.quality)
    yield f"score {report.face.score:.2f}"
    likeness = report.likeness
    if likeness is not None:
        same = {None: "", True: ", likely the same person", False: ", likely another person"}[likeness.same_person]
        who = f"face {likeness.face + 1} of reference image {likeness.frame + 1}"
        yield f"similarity {likeness.similarity:.2f} to {who}{same}"


def _pose(report: FaceReport) -> Iterator[str]:
    for name, degrees in (("roll", report.roll), ("yaw", report.yaw), ("pitch", report.pitch)):
        if degrees is not None:
            yield f"{name} {round(degrees)} degrees"


def _measures(report: FaceReport) -> Iterator[str]:
    quality = report.quality
    for name, value in (
        ("sharpness", quality.sharpness),
        ("noise", quality.noise),
        ("blockiness", quality.blockiness),
        ("brightness", quality.brightness),
    ):
        if value is not None:
            yield f"{name} {value:.2f}"
    for name, share in (("black", quality.black), ("white", quality.white)):
        if share is not None and share >= 0.005:
            yield f"{share:.0%} {name}"


def _data(report: FaceReport) -> dict[str, object]:
    face, quality, likeness = report.face, report.quality, report.likeness
    return as_data(face) | {
        "number": face.index + 1,
        "size": round(face.size, 2),
        "roll": _rounded(report.roll, 1),
        "yaw": _rounded(report.yaw, 1),
        "pitch": _rounded(report.pitch, 1),
        "sharpness": _rounded(quality.sharpness, 4),
        "noise": _rounded(quality.noise, 3),
        "blockiness": _rounded(quality.blockiness, 4),
        "brightness": _rounded(quality.brightness, 4),
        "black": _rounded(quality.black, 4),
        "white": _rounded(quality.white, 4),
        "words": list(words(quality)),
        "identity": None
        if likeness is None
        else {
            "similarity": round(likeness.similarity, 4),
            "same_person": likeness.same_person,
            "reference_image": likeness.frame + 1,
            "reference_face": likeness.face + 1,
        },
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)

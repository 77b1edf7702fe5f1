"""What nodes show on themselves, the ``ui`` of their outputs: text, and before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..pipeline import Outcome, Verb, outcome_report, outcome_total
from . import previews
from .images import nothing_changed

# A node is not as tall as a report on many images.
_LINES = 15
_NO_FACE = "If there is one, lower confidence, load another detector, or draw its box in Pick Faces."


def compare_input() -> io.Input:
    """ComfyUI's widget of two pictures with a slider, which ``js/compare.js`` fills with what :func:`work_ui` gives.

    A prompt need not name it, and what it names makes no difference.
    """
    return io.ImageCompare.Input(
        "compare_view",
        optional=True,
        tooltip="Before and after: the first 8 images that were changed, shrunk to 1024 pixels.",
    )


def outcome_texts(outcomes: Sequence[Sequence[Outcome]], verb: Verb) -> tuple[str, str]:
    """The report on the faces of each frame, and the line on all of them together: as :func:`report_ui` takes them.

    Where there are no faces at all, the report ends with what one may do about it.
    """
    report, total = outcome_report(outcomes, verb), outcome_total(outcomes, verb)
    return (report if any(outcomes) else f"{report}\n{_NO_FACE}"), total


def report_ui(text: str, total: str = "") -> ui.PreviewText:
    """A report as ``ui`` of a node's output, which ``js/report.js`` shows: no more lines than a node has room for.

    Args:
        text: the report; each image begins with a line of its own, "Image 1: 2 of 3 faces restored".
        total: the same for all images together: "2 of 3 faces restored".
    """
    return ui.PreviewText(_in_few_lines(text, total))


def _in_few_lines(text: str, total: str) -> str:
    lines = text.splitlines()
    if len(lines) <= _LINES:
        return text
    images = [place for place, line in enumerate(lines) if line.startswith("Image ")]
    head = [f"{len(images)} images: {total}"] if len(images) > 1 else []
    room = _LINES - len(head) - 1
    whole = [place for place in images if 0 < place <= room]
    if whole:
        end, more, what = whole[-1], len(images) - len(whole), "image"
    else:
        # The first image alone is too long: part of it is shown.
        end, more, what = room, len(lines) - room, "line"
    rest = f"… and {more} more {what}{'' if more == 1 else 's'}: see the output report"
    return "\n".join([*head, *lines[:end], rest])


def work_ui(
    node: type[io.ComfyNode],
    text: str,
    total: str,
    before: Tensor,
    after: Tensor,
    outcomes: Sequence[Sequence[Outcome]],
) -> dict[str, Any]:
    """What a node shows that has worked on faces: the report, and the images in which something was done.

    Args:
        text, total: as :func:`report_ui` takes them.
        before: ``[B, H, W, C]``.
        after: the same frames, of this or another size.
        outcomes: of the faces of each frame.

    Returns:
        What ``ui`` of a node's output takes. ``images`` is for the classic canvas, which cannot draw ComfyUI's widget.
        Where the disk does not take the images, the text says so instead.
    """
    shown: dict[str, Any] = dict(report_ui(text, total).as_dict())
    changed = [frame for frame, faces in enumerate(outcomes) if any(outcome.action != "skipped" for outcome in faces)]
    if changed:
        first = changed[: previews.PREVIEW_FRAMES]
        pictures = previews.before_and_after(before[first], after[first])
        try:
            one, two = (list(ui.PreviewImage(picture, cls=node).as_dict()["images"]) for picture in pictures)
        except OSError as error:
            # The work of minutes is not given up for a picture of it.
            (report,) = shown["text"]
            return shown | {"text": (f"{report}\nBefore and after cannot be saved for showing them ({error}).",)}
        pairs = [each for pair in zip(one, two, strict=True) for each in pair]
        shown |= {"a_images": one, "b_images": two, "images": pairs}
    return shown


def passed_through(image: Tensor, text: str, total: str = "", between: Sequence[object] = ()) -> io.NodeOutput:
    """The output of a node that had nothing to do: the very image, an empty mask, and a report, which it shows.

    Args:
        text, total: as :func:`report_ui` takes them.
        between: its further outputs, which come before the report.
    """
    return io.NodeOutput(image, nothing_changed(image), *between, text, ui=report_ui(text, total))

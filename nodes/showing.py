"""What nodes show on themselves: text, and before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..pipeline import Outcome
from . import views
from .images import nothing_changed


def compare_input() -> io.Input:
    """ComfyUI's widget of two pictures with a slider, which ``js/compare.js`` fills with what :func:`work_shown` gives.

    A prompt need not name it, and what it names makes no difference.
    """
    return io.ImageCompare.Input(
        "compare_view", optional=True, tooltip="Before and after: the first 8 images with faces, shrunk to 1024 pixels."
    )


def show_text(node: type[io.ComfyNode], text: str) -> None:
    """Shows a text on the node that runs. Needs the hidden input ``unique_id``."""
    if node.hidden is not None:
        from server import PromptServer

        # ComfyUI's page keeps the text of a PreviewText, but only this makes it show on a node.
        PromptServer.instance.send_progress_text(text, node.hidden.unique_id)


def work_shown(
    node: type[io.ComfyNode], text: str, before: Tensor, after: Tensor, outcomes: Sequence[Sequence[Outcome]]
) -> dict[str, Any]:
    """What a node shows that has worked on faces: the text, and the images in which something was done.

    Args:
        before: ``[B, H, W, C]``.
        after: the same frames, of this or another size.
        outcomes: of the faces of each frame.

    Returns:
        What ``ui`` of a node's output takes. ``images`` is for the classic canvas, which cannot draw ComfyUI's widget.
    """
    show_text(node, text)
    shown: dict[str, Any] = dict(ui.PreviewText(text).as_dict())
    changed = [frame for frame, faces in enumerate(outcomes) if any(outcome.action != "skipped" for outcome in faces)]
    if changed:
        first = changed[: views.PREVIEW_FRAMES]
        pictures = views.before_and_after(before[first], after[first])
        one, two = (list(ui.PreviewImage(picture, cls=node).as_dict()["images"]) for picture in pictures)
        pairs = [each for pair in zip(one, two, strict=True) for each in pair]
        shown |= {"a_images": one, "b_images": two, "images": pairs}
    return shown


def untouched(node: type[io.ComfyNode], image: Tensor, text: str, *between: object) -> io.NodeOutput:
    """What a node puts out that had nothing to do: the very image, a mask that says so, and a text that it shows, too.

    Args:
        between: what else it puts out, before the text.
    """
    show_text(node, text)
    return io.NodeOutput(image, nothing_changed(image), *between, text, ui=ui.PreviewText(text))

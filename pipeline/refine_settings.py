"""All settings of the refine pass, in the order of its widgets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..faces.windows import WindowSettings
from ..fields import setting
from ..models.refiners import Sampling

IMAGE_STRIDE = 1000
"""Between the seeds of two images where each has its own: so that a seed in a report can be read as image and face."""


@dataclass(frozen=True)
class PromptSettings:
    """What is painted.

    Attributes:
        prompt, negative_prompt: texts in the language of :mod:`.prompts`; empty for the model's own prompt.
        seed: of the noise of the first face.
        seeds: whether each face of a frame gets a seed of its own (``seed`` plus its ``track`` or ``index``), or all
            the same one. In these two, all frames have the same seeds, as suits a video; in the third those of a frame,
            and what is drawn for it, begin :data:`IMAGE_STRIDE` after those of the one before.
    """

    prompt: str = setting(
        "",
        "The prompt for the faces. Empty: the connected prompt, if there is one. [SEP] separates the prompts of "
        "several faces, [SKIP] leaves a face as it is, [PROMPT] stands for the connected prompt.",
        lines=True,
    )
    negative_prompt: str = setting(
        "",
        "The negative prompt for the faces. Empty: the connected one, if there is one.",
        lines=True,
    )
    seed: int = setting(0, "Seed of the noise: the same seed gives the same face.", low=0, high=2**64 - 1, seed=True)
    seeds: Literal["each face", "all the same", "each image and face"] = setting(
        "each face",
        "each face: seed for the first face, one more for each that follows, alike in all images of a batch. all the "
        "same: one seed for all. each image and face: 1000 more for each further image of a batch, for wildcards too.",
        advanced=True,
    )


@dataclass(frozen=True)
class EdgeSettings:
    """What part of a face is repainted and put back. Lengths are pixels of the crop, in which all faces are about as
    large, so that edges look the same for all of them.

    Attributes:
        shape: "box", "ellipse" (of the box), "hull" (of the landmarks), "outline" (of a segmentation network), or
            "mask" (the connected one). Where a face has no landmarks or outline it is the ellipse.
        dilation: grows the shape, or shrinks it where negative.
        x_offset, y_offset: moves it, to the right and upward as ADetailer does.
        merge: "none": each face for itself. "invert": each crop without its face. "merge": all faces of a frame as
            one. "merge and invert": all of a frame without its faces.
        feather: width of the edge over which the result fades into the frame.
        noise_feather: width of the edge over which the noise ends, beyond that of ``feather``: all that is put back
            has been repainted in full.
    """

    shape: Literal["box", "ellipse", "hull", "outline", "mask"] = setting(
        "box", "The part of a face that is repainted.", advanced=True
    )
    dilation: int = setting(
        4, "Grows the repainted part by this many pixels of the crop, or shrinks it.", low=-512, high=512, advanced=True
    )
    x_offset: int = setting(
        0, "Moves the repainted part to the right, in pixels of the crop.", low=-1024, high=1024, advanced=True
    )
    y_offset: int = setting(
        0, "Moves the repainted part up, in pixels of the crop.", low=-1024, high=1024, advanced=True
    )
    merge: Literal["none", "invert", "merge", "merge and invert"] = setting(
        "none",
        "merge: all faces of an image in one go. invert: everything in the crop but the face. merge and invert: the "
        "image without its faces.",
        advanced=True,
    )
    feather: int = setting(
        5, "Width of the soft edge of what is pasted back, in pixels of the crop.", low=0, high=256, advanced=True
    )
    noise_feather: int = setting(
        20,
        "Width of the soft edge of what is repainted, outside that of feather, in pixels of the crop.",
        low=0,
        high=512,
        advanced=True,
    )

    @property
    def merges(self) -> bool:
        """Whether all faces of a frame are repainted as one."""
        return self.merge in ("merge", "merge and invert")

    @property
    def inverts(self) -> bool:
        """Whether everything but the faces is repainted."""
        return self.merge in ("invert", "merge and invert")


@dataclass(frozen=True)
class RefineSettings:
    """How faces are refined and put back.

    Attributes:
        strength: how much of the result is blended in, 0..1.
        colour_match: how much of the colour of its surroundings a face is given, 0..1.
        cycles: how often each face is repainted, each time from the last result.
        size_power: lowers the denoise for large faces, or raises it where negative: it is multiplied by ``(1 - face
            area / frame area) ** size_power`` (ADetailer's dynamic denoise power), and 1 at the most.
            Merged faces have one denoise, on which it does not act.
        restore: whether a connected restorer works on the faces before or after.
        fidelity: of that restorer.
        min_face: smaller faces are left alone, in frame pixels.
        max_faces: only the largest of each frame; 0 for all.
        on_error: whether a face that the model fails on stops the work or is left as it was and reported.
    """

    prompts: PromptSettings = field(default_factory=PromptSettings)
    sampling: Sampling = field(default_factory=Sampling)
    window: WindowSettings = field(default_factory=WindowSettings)
    edge: EdgeSettings = field(default_factory=EdgeSettings)
    strength: float = setting(
        1.0, "How much of the result is blended in. At 0 the image passes through.", low=0.0, high=1.0, step=0.01
    )
    colour_match: float = setting(
        1.0,
        "How closely the colours of a repainted face are matched to its surroundings. 0: not at all.",
        low=0.0,
        high=1.0,
        step=0.01,
        advanced=True,
    )
    cycles: int = setting(1, "How many times each face is repainted.", low=1, high=10, advanced=True)
    size_power: float = setting(
        0.0,
        "Above 0: large faces get less denoise. Below 0: they get more. 2 to 4 is usual, 0 is off.",
        low=-10.0,
        high=10.0,
        step=0.1,
        advanced=True,
    )
    restore: Literal["before", "after"] = setting(
        "before", "Whether the connected restorer works before or after the faces are repainted.", advanced=True
    )
    fidelity: float = setting(
        0.5, "Fidelity of the connected restorer, if it has that setting.", low=0.0, high=1.0, step=0.01, advanced=True
    )
    min_face: int = setting(
        0,
        "Faces whose longer side is smaller than this many pixels are left as they are.",
        low=0,
        high=16384,
        advanced=True,
    )
    max_faces: int = setting(0, "Only the largest faces of each image. 0: all.", low=0, high=1000, advanced=True)
    on_error: Literal["stop", "skip"] = setting(
        "stop",
        "When the model gives invalid numbers for a face: stop ends the work, skip leaves the face as it was.",
        advanced=True,
    )

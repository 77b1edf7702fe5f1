"""Settings that several nodes have, worded once."""

from __future__ import annotations

from typing import get_args

from comfy_api.latest import io

from ..faces.masks import FEATHER, MaskShape
from ..models.restorers import DEFAULT_OPTIONS
from ..pipeline import Alignment
from .types import ParserSocket


def confidence_input() -> io.Float.Input:
    return io.Float.Input(
        "confidence",
        default=0.5,
        min=0.01,
        max=1.0,
        step=0.01,
        tooltip="Least score of a face. Lower it (0.3) if one is missed, raise it (0.7) if things are taken for faces.",
    )


def strength_input(what: str) -> io.Float.Input:
    return io.Float.Input(
        "strength",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip=f"How much of the {what} is blended in. At 0 the image passes through and nothing is computed.",
    )


def colour_input(default: float) -> io.Float.Input:
    return io.Float.Input(
        "colour_match",
        default=default,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="How much the faces are given the colours that they have in the image. 0 leaves their colours alone.",
    )


def shape_input() -> io.Combo.Input:
    return io.Combo.Input(
        "mask_shape",
        options=list(get_args(MaskShape)),
        default="square",
        tooltip=(
            "The part of a face's crop that is put back: square takes hair and neck along, ellipse is the face from "
            "hairline to chin, hull is brows, eyes, nose and mouth (it needs landmarks; without them it is an "
            "ellipse), parse is face and hair as a parser sees them, without background, neck and clothes."
        ),
    )


def parser_input() -> io.Input:
    return ParserSocket.Input(
        "parser",
        optional=True,
        lazy=True,
        tooltip="From Load Face Parser. Needed for the mask shape parse, and not used for any other.",
    )


def feather_input() -> io.Float.Input:
    return io.Float.Input(
        "feather",
        default=FEATHER,
        min=0.005,
        max=0.15,
        step=0.005,
        tooltip="Softness of the edge, as a share of the crop: equally soft for small and for large faces.",
        advanced=True,
    )


def alignment_input() -> io.Combo.Input:
    return io.Combo.Input(
        "alignment",
        options=list(get_args(Alignment)),
        default="model",
        optional=True,
        tooltip=(
            "How faces lie in the crops that the restorer sees. model: as it was trained; GPEN takes in more around "
            "the face than the others. ffhq: the same for all, as in programs that know FFHQ's alignment alone."
        ),
        advanced=True,
    )


def steps_input() -> io.Int.Input:
    return io.Int.Input(
        "steps",
        default=DEFAULT_OPTIONS.steps,
        min=1,
        max=50,
        tooltip="Steps of restorers that take several: fewer are faster. Acts in ELIR only.",
        optional=True,
        advanced=True,
    )


def seed_input() -> io.Int.Input:
    return io.Int.Input(
        "seed",
        default=DEFAULT_OPTIONS.seed,
        min=0,
        max=2**53 - 1,
        # The same picture again and again is what restoring is for.
        control_after_generate=False,
        tooltip="Another number gives a face of other details. Acts in ELIR only.",
        optional=True,
        advanced=True,
    )


def adain_input() -> io.Boolean.Input:
    return io.Boolean.Input(
        "adain",
        default=DEFAULT_OPTIONS.adain,
        tooltip=(
            "Give what the network remembers of faces the light and colours of the face in the image. "
            "Acts in CodeFormer only."
        ),
        optional=True,
        advanced=True,
    )

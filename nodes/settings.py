"""Settings that several nodes have, worded once."""

from __future__ import annotations

from typing import get_args

from comfy_api.latest import io

from ..faces.masks import FEATHER, MaskShape


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
            "hairline to chin, hull is brows, eyes, nose and mouth (it needs landmarks; without them it is an ellipse)."
        ),
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

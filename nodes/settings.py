"""Settings that several nodes have, worded once."""

from __future__ import annotations

from comfy_api.latest import io

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


def parser_input() -> io.Input:
    return ParserSocket.Input(
        "parser",
        optional=True,
        lazy=True,
        tooltip="From Load Face Parser. Needed for the mask shape parse, and not used for any other.",
    )

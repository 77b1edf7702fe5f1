"""The socket of the nodes that put crops back for what finds the face in them, worded once."""

from __future__ import annotations

from comfy_api.latest import io

from .types import ParserSocket


def parser_input() -> io.Input:
    return ParserSocket.Input(
        "parser",
        optional=True,
        lazy=True,
        tooltip="From Load Face Parser. Needed for the mask shape parse, and not used for any other.",
    )

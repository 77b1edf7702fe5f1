"""Networks that tell the regions of a face apart, and the one function that finds out what a file holds."""

from __future__ import annotations

from pathlib import Path

from ..host import Host
from ..inference import Precision
from .loading import load_network
from .parser import Parser

__all__ = ["Parser", "load_parser"]


def load_parser(path: Path, host: Host, precision: Precision = "fp32") -> Parser:
    """The face parser in a file, whatever the file is called.

    Args:
        path: facexlib's ParseNet or BiSeNet; pickle or safetensors.
        host: gets the network to look after.
        precision: of weights and calculation. bf16 is refused where it was not measured to be accurate.

    Raises:
        WeightsError: there is no such file, or it is empty, cut short, hostile or of another kind of network, or the
            precision is too coarse for it.
    """
    return Parser(load_network(path), host, precision)

"""Networks that tell whose face it is, and the one function that finds out what a file holds."""

from __future__ import annotations

from pathlib import Path

from ..host import Host
from .embedder import Embedder
from .loading import load_network

__all__ = ["Embedder", "load_embedder"]


def load_embedder(path: Path, host: Host) -> Embedder:
    """The embedding network in a file, whatever the file is called.

    Args:
        path: facexlib's ArcFace IR-SE-50, pickle or safetensors, or a MobileFaceNet in ONNX.
        host: gets the network to look after.

    Raises:
        WeightsError: there is no such file, or it is empty, cut short, hostile or of another kind of network.
    """
    return Embedder(load_network(path), host)

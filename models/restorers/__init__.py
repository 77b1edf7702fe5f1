"""Networks that restore faces, and the one function that finds out what a file holds."""

from __future__ import annotations

from pathlib import Path

from ..host import Host
from ..inference import Precision
from .loading import load_network
from .options import DEFAULT_OPTIONS, RestoreOptions
from .restorer import Restorer

__all__ = ["DEFAULT_OPTIONS", "RestoreOptions", "Restorer", "load_restorer"]


def load_restorer(path: Path, host: Host, precision: Precision = "fp32") -> Restorer:
    """The restorer in a file, whatever the file is called; but what a GPEN is for is told by its name alone.

    Args:
        path: a network of :data:`~.kinds.KINDS` (GFPGAN, CodeFormer and others), or any that spandrel reads and that
            makes an RGB picture from one: an upscaler of the Real-ESRGAN kind, for one. Pickle or safetensors.
        host: gets the network to look after.
        precision: of weights and calculation. bf16 is refused where it was not measured to be accurate.

    Raises:
        WeightsError: there is no such file, or it is empty, cut short, hostile or of another kind of network, or the
            precision is too coarse for it.
    """
    return Restorer(load_network(path), host, precision)

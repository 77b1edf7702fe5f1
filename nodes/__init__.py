"""The nodes of Visage for ComfyUI: sockets in, sockets out. The only package that imports ComfyUI."""

from __future__ import annotations

import logging

from comfy_api.latest import ComfyExtension, io

from ..models.packages import package_problems
from . import folders
from .convert import FacesFrom, FacesTo
from .crops import CropFaces, PasteFaces
from .detect import DetectFaces
from .loading import LoadFaceDetector, LoadFaceEmbedder, LoadFaceParser, LoadFaceRestorer
from .pick import PickFaces
from .refine import RefineFaces
from .refine_diffusers import LoadDiffusersInpaint, RefineFacesDiffusers
from .regions import FaceRegions
from .report import ReportFaces
from .restore import RestoreFaces
from .select import SelectFaces
from .track import TrackFaces

__all__ = ["NODES", "VisageExtension"]

NODES: tuple[type[io.ComfyNode], ...] = (
    LoadFaceDetector,
    LoadFaceRestorer,
    LoadFaceParser,
    LoadFaceEmbedder,
    DetectFaces,
    SelectFaces,
    TrackFaces,
    PickFaces,
    FacesFrom,
    FacesTo,
    FaceRegions,
    RestoreFaces,
    RefineFaces,
    LoadDiffusersInpaint,
    RefineFacesDiffusers,
    CropFaces,
    PasteFaces,
    ReportFaces,
)


class VisageExtension(ComfyExtension):
    """What ComfyUI is given: called once when it starts."""

    async def on_load(self) -> None:
        folders.register()
        for line in package_problems():
            logging.warning("Visage: %s", line)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)

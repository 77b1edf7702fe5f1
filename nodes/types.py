"""What travels on the sockets of Visage.

| socket           | value                                                                |
|------------------|----------------------------------------------------------------------|
| VISAGE_DETECTOR  | :class:`LoadedModel` of a :class:`~..models.detectors.Detector`      |
| VISAGE_RESTORER  | :class:`LoadedModel` of a :class:`~..models.restorers.Restorer`      |
| VISAGE_PARSER    | :class:`LoadedModel` of a :class:`~..models.parsers.Parser`          |
| VISAGE_EMBEDDER  | :class:`LoadedModel` of an :class:`~..models.embedders.Embedder`     |
| VISAGE_INPAINTER | :class:`LoadedModel` of a :class:`~..models.refiners.Refiner`        |
| FACES            | :class:`~..faces.face.Faces`: plain numbers, see :mod:`.given_faces` |
| FACE_CROPS       | :class:`~..faces.crops.Crops`: where crops were taken, no pixels     |
| FACE_LANDMARKS   | of ComfyUI's MediaPipe nodes: see :mod:`.bridges.landmarks`          |
| SEGS             | of the Impact Pack: see :mod:`.bridges.segs`                         |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from comfy_api.latest import io

from .host import ComfyHost

N = TypeVar("N")

DetectorSocket = io.Custom("VISAGE_DETECTOR")
RestorerSocket = io.Custom("VISAGE_RESTORER")
ParserSocket = io.Custom("VISAGE_PARSER")
EmbedderSocket = io.Custom("VISAGE_EMBEDDER")
InpainterSocket = io.Custom("VISAGE_INPAINTER")
FacesSocket = io.Custom("FACES")
FaceCropsSocket = io.Custom("FACE_CROPS")
# Without the box that ComfyUI's own gives every input to begin with.
BoxesSocket = io.Custom("BOUNDING_BOX")
LandmarksSocket = io.Custom("FACE_LANDMARKS")
SegsSocket = io.Custom("SEGS")


@dataclass(frozen=True, eq=False)
class LoadedModel(Generic[N]):
    """A network on a socket, with what ComfyUI asks of one to protect its weights while a workflow runs.

    Attributes:
        network: the detector, restorer, parser, embedder or refiner.
        host: looks after it.
    """

    network: N
    host: ComfyHost

    @property
    def patcher(self) -> Any | None:
        """ComfyUI's handle on the weights; ``None`` for a network that runs outside torch."""
        return self.host.patchers[0] if self.host.patchers else None

    def get_models(self) -> list[Any]:
        return list(self.host.patchers)

    def is_dynamic(self) -> bool:
        return bool(self.host.patchers) and all(patcher.is_dynamic() for patcher in self.host.patchers)

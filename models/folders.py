"""Which files belong to which kind of model, and in which folders they lie: for ComfyUI and the command line alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from .catalogue import Kind, KnownWeights, by_file_name
from .file_format import ONNX, PICKLES, SAFETENSORS


@dataclass(frozen=True)
class ModelFolder:
    """One folder of models, as ComfyUI has them.

    Attributes:
        key: ComfyUI's name of it, by which ``extra_model_paths.yaml`` adds to it.
        places: below the folder ``models``, first choice first, with ``/`` between their parts.
    """

    key: str
    places: tuple[str, ...]


_FACES = ModelFolder("facedetection", ("facedetection",))
_UPSCALERS = ModelFolder("upscale_models", ("upscale_models",))

# As packs for faces have come to use them. ComfyUI's own downloads go to the folder called as the key is.
FOLDERS: dict[Kind, tuple[ModelFolder, ...]] = {
    "detector": (
        ModelFolder("ultralytics_bbox", ("ultralytics/bbox", "ultralytics_bbox")),
        ModelFolder("ultralytics_segm", ("ultralytics/segm", "ultralytics_segm")),
        _FACES,
        ModelFolder("detection", ("detection",)),
    ),
    "restorer": (ModelFolder("facerestore_models", ("facerestore_models", "face_restore")), _UPSCALERS),
    "parser": (_FACES,),
    "embedder": (_FACES,),
    "upscaler": (_UPSCALERS,),
}

_TORCH = (*SAFETENSORS, *PICKLES)
# In the order in which a name without suffix is resolved: the safe format first.
SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "detector": (*_TORCH, *ONNX),
    "restorer": _TORCH,
    "parser": _TORCH,
    "embedder": (*_TORCH, *ONNX),
    "upscaler": _TORCH,
}


def may_be(kind: Kind, file_name: str) -> bool:
    """Whether a file can be of that kind, by its name: not if the catalogue knows it to be of another."""
    known = by_file_name(file_name)
    return (known is None or serves(known, kind)) and PurePath(file_name).suffix.lower() in SUFFIXES[kind]


def serves(known: KnownWeights, kind: Kind) -> bool:
    """Whether weights can be used as those of a kind. Upscalers restore faces too."""
    return known.kind == kind or (kind, known.kind) == ("restorer", "upscaler")

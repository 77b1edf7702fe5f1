"""Where ComfyUI keeps the weights that Visage uses, and what is in there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

import folder_paths

from ..models import builtin
from ..models.catalogue import CATALOGUE, Kind, by_file_name, licence_line


@dataclass(frozen=True)
class ModelFolders:
    """The folders of one kind of model.

    Attributes:
        what: what to call the model.
        kinds: kinds of the catalogue that belong here; other known files in the same folders are left out.
        folders: ComfyUI's name of each folder, and its places below ``models``.
        suffixes: of files that can be loaded.
        advice: which file to get and where to put it.
    """

    what: str
    kinds: tuple[Kind, ...]
    folders: tuple[tuple[str, tuple[str, ...]], ...]
    suffixes: frozenset[str]
    advice: str

    @property
    def keys(self) -> tuple[str, ...]:
        """ComfyUI's names of all folders that files of this kind may lie in."""
        return *(key for key, _ in self.folders), _BUILT_IN


# ComfyUI's name of the folder of the weights that come with Visage.
_BUILT_IN = "visage_built_in"
_PICKLES = frozenset({".pt", ".pth", ".ckpt"})
_SAFE = frozenset({".safetensors", ".sft"})

DETECTORS = ModelFolders(
    what="face detector",
    kinds=("detector",),
    folders=(
        # ComfyUI's own downloads go to the folder called as the key is.
        ("ultralytics_bbox", ("ultralytics/bbox", "ultralytics_bbox")),
        ("ultralytics_segm", ("ultralytics/segm", "ultralytics_segm")),
        ("facedetection", ("facedetection",)),
        ("detection", ("detection",)),
    ),
    suffixes=_PICKLES | _SAFE | {".onnx"},
    advice=(
        "Put a YOLO face model such as face_yolov8m.pt into models/ultralytics/bbox (those that segment into "
        "models/ultralytics/segm), or detection_Resnet50_Final.pth (RetinaFace), face_detection_yunet_2023mar.onnx "
        "or the three files of MTCNN (choose pnet.pt) into models/facedetection. Then press R."
    ),
)
RESTORERS = ModelFolders(
    what="face restorer",
    kinds=("restorer", "upscaler"),
    folders=(
        ("facerestore_models", ("facerestore_models",)),
        ("upscale_models", ("upscale_models",)),
    ),
    suffixes=_PICKLES | _SAFE,
    advice=(
        "Put GFPGANv1.4.pth, codeformer-v0.1.0.pth or RestoreFormer.pth into models/facerestore_models. Then press R."
    ),
)
PARSERS = ModelFolders(
    what="face parser",
    kinds=("parser",),
    folders=(("facedetection", ("facedetection",)),),
    suffixes=_PICKLES | _SAFE,
    advice="Put parsing_bisenet.pth or parsing_parsenet.pth into models/facedetection. Then press R.",
)
EMBEDDERS = ModelFolders(
    what="face embedder",
    kinds=("embedder",),
    folders=(("facedetection", ("facedetection",)),),
    suffixes=_PICKLES | _SAFE | {".onnx"},
    advice="Put recognition_arcface_ir_se50.pth into models/facedetection. Then press R.",
)
# ComfyUI's name of the folder of lists of words for prompts.
_WILDCARDS = "wildcards"


def register() -> None:
    """Makes ComfyUI know the folders. Places and suffixes that others have registered stay as they are."""
    for models in (DETECTORS, RESTORERS, PARSERS, EMBEDDERS):
        for key, places in models.folders:
            for place in places:
                folder_paths.add_model_folder_path(key, str(Path(folder_paths.models_dir, *PurePath(place).parts)))
            paths, suffixes = folder_paths.folder_names_and_paths[key]
            if not suffixes:
                folder_paths.folder_names_and_paths[key] = (paths, set(models.suffixes))
    folder_paths.folder_names_and_paths[_BUILT_IN] = ([str(builtin.FOLDER)], set(_SAFE))
    folder_paths.add_model_folder_path(_WILDCARDS, str(Path(folder_paths.models_dir, _WILDCARDS)))


def wildcard_folders() -> list[Path]:
    """Where lists of words are kept: ``models/wildcards``, and what ``extra_model_paths.yaml`` adds to it."""
    return [Path(path) for path in folder_paths.folder_names_and_paths[_WILDCARDS][0]]


def names(models: ModelFolders) -> list[str]:
    """The files to choose from, as ComfyUI names them, in alphabetical order."""
    found = {name for key in models.keys for name in folder_paths.get_filename_list(key)}
    return sorted((name for name in found if _fits(models, name)), key=str.lower)


def default(models: ModelFolders) -> str | None:
    """The file that comes first in the catalogue, or ``None`` where it knows none of them."""
    known = [(CATALOGUE.index(entry), name) for name in names(models) if (entry := by_file_name(name)) is not None]
    return min(known)[1] if known else None


def tooltip(models: ModelFolders) -> str:
    """What to choose, and under which terms the files at hand may be used."""
    found = names(models)
    if not found:
        return f"No {models.what} found. {models.advice}"
    terms = [f"{name}: {licence_line(name)}" for name in found if by_file_name(name) is not None]
    return "\n".join([f"The file of the {models.what}. {models.advice}", *terms])


def path_of(models: ModelFolders, name: str) -> Path:
    """The file behind a name of :func:`names`.

    Raises:
        FileNotFoundError: there is none of that name. The message says where to put which file.
    """
    if name in names(models):
        for key in models.keys:
            if name in folder_paths.get_filename_list(key):
                return Path(folder_paths.get_full_path_or_raise(key, name))
    raise FileNotFoundError(f"There is no {models.what} called {name!r}. {models.advice}")


def _fits(models: ModelFolders, name: str) -> bool:
    known = by_file_name(name)
    return PurePath(name).suffix.lower() in models.suffixes and (known is None or known.kind in models.kinds)

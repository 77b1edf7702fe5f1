"""Where ComfyUI keeps the weights that Visage uses, and what is in there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import folder_paths

from ..models import builtin
from ..models.catalogue import CATALOGUE, Kind, by_file_name, licence_line
from ..models.folders import FOLDERS, SUFFIXES, may_be

# ComfyUI's name of the folder of the weights that come with Visage.
_BUILT_IN = "visage_built_in"


@dataclass(frozen=True)
class ModelFolders:
    """The folders of one kind of model, as the nodes speak of them.

    Attributes:
        what: what to call the model.
        kind: says which folders are looked into, and what of the files there may be one.
        advice: which file to get and where to put it.
    """

    what: str
    kind: Kind
    advice: str

    @property
    def keys(self) -> tuple[str, ...]:
        """ComfyUI's names of all folders that files of this kind may lie in."""
        return *(folder.key for folder in FOLDERS[self.kind]), _BUILT_IN


DETECTORS = ModelFolders(
    what="face detector",
    kind="detector",
    advice=(
        "Put a YOLO face model such as face_yolov8m.pt into models/ultralytics/bbox (those that segment into "
        "models/ultralytics/segm), or detection_Resnet50_Final.pth (RetinaFace), face_detection_yunet_2023mar.onnx "
        "or the three files of MTCNN (choose pnet.pt) into models/facedetection. Then press R."
    ),
)
RESTORERS = ModelFolders(
    what="face restorer",
    kind="restorer",
    advice=(
        "Put GFPGANv1.4.pth, codeformer-v0.1.0.pth or RestoreFormer.pth into models/facerestore_models. Then press R."
    ),
)
PARSERS = ModelFolders(
    what="face parser",
    kind="parser",
    advice="Put parsing_bisenet.pth or parsing_parsenet.pth into models/facedetection. Then press R.",
)
EMBEDDERS = ModelFolders(
    what="face embedder",
    kind="embedder",
    advice="Put recognition_arcface_ir_se50.pth into models/facedetection. Then press R.",
)
# ComfyUI's name of the folder of lists of words for prompts.
_WILDCARDS = "wildcards"


def register() -> None:
    """Makes ComfyUI know the folders. Places and suffixes that others have registered stay as they are."""
    for models in (DETECTORS, RESTORERS, PARSERS, EMBEDDERS):
        for folder in FOLDERS[models.kind]:
            for place in folder.places:
                folder_paths.add_model_folder_path(folder.key, str(Path(folder_paths.models_dir, place)))
            paths, suffixes = folder_paths.folder_names_and_paths[folder.key]
            if not suffixes:
                folder_paths.folder_names_and_paths[folder.key] = (paths, set(SUFFIXES[models.kind]))
    folder_paths.folder_names_and_paths[_BUILT_IN] = ([str(builtin.FOLDER)], {".safetensors"})
    folder_paths.add_model_folder_path(_WILDCARDS, str(Path(folder_paths.models_dir, _WILDCARDS)))


def wildcard_folders() -> list[Path]:
    """Where lists of words are kept: ``models/wildcards``, and what ``extra_model_paths.yaml`` adds to it."""
    return [Path(path) for path in folder_paths.folder_names_and_paths[_WILDCARDS][0]]


def names(models: ModelFolders) -> list[str]:
    """The files to choose from, as ComfyUI names them, in alphabetical order."""
    found = {name for key in models.keys for name in folder_paths.get_filename_list(key)}
    return sorted((name for name in found if may_be(models.kind, name)), key=str.lower)


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


def is_there(path_of: Callable[[str], Path], name: str | None) -> bool | str:
    """What ``validate_inputs`` answers for the name of a file, in place of ComfyUI's check of the list.

    The message of that check does not say where files belong.

    Args:
        path_of: raises ``FileNotFoundError`` where there is none of that name.
        name: ``None`` where it comes from a link and is still unknown.
    """
    try:
        if name is not None:
            path_of(name)
    except FileNotFoundError as error:
        return str(error)
    return True

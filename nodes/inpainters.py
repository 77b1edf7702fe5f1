"""Which models for Load Diffusers Inpaint there are in ComfyUI's folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

import folder_paths

from ..models.file_format import SAFETENSORS
from ..models.refiners.diffusers_engine import is_diffusers_folder

# ComfyUI's names of the folders.
_FOLDERS = "diffusers"
_FILES = "checkpoints"
ADVICE = (
    "Put a Stable Diffusion 1.5 or SDXL checkpoint (.safetensors) into models/checkpoints, or the whole folder of such "
    "a model in diffusers format into models/diffusers. Then press R."
)


def names() -> list[str]:
    """Folders in diffusers format, then single files, each in alphabetical order, as ComfyUI names them."""
    return [*sorted(_folders(), key=str.lower), *sorted(_files(), key=str.lower)]


def path_of(name: str) -> Path:
    """The folder or file behind a name of :func:`names`.

    Raises:
        FileNotFoundError: there is none of that name. The message says where to put what.
    """
    folders = _folders()
    if name in folders:
        return folders[name]
    if name in _files():
        return Path(folder_paths.get_full_path_or_raise(_FILES, name))
    raise FileNotFoundError(f"There is no diffusion model called {name!r}. {ADVICE}")


def tokenizer() -> Path | None:
    """The list of words that ComfyUI has for its own use."""
    folder = Path(folder_paths.__file__).parent / "comfy" / "sd1_tokenizer"
    return folder if folder.is_dir() else None


def _folders() -> dict[str, Path]:
    """By name; of two of the same name the first, as ComfyUI's search goes."""
    found: dict[str, Path] = {}
    for place in map(Path, _places(_FOLDERS)):
        for path in _in_diffusers_format(place):
            found.setdefault(path.relative_to(place).as_posix(), path)
    return found


def _in_diffusers_format(place: Path) -> Iterator[Path]:
    for here, folders, _ in os.walk(place, followlinks=True):
        if is_diffusers_folder(Path(here)) and Path(here) != place:
            folders.clear()
            yield Path(here)


def _files() -> list[str]:
    if not _places(_FILES):
        return []
    return [name for name in folder_paths.get_filename_list(_FILES) if PurePath(name).suffix.lower() in SAFETENSORS]


def _places(key: str) -> list[str]:
    places: list[str] = folder_paths.folder_names_and_paths.get(key, ([],))[0]
    return places

"""Where weight files are found: the folders of ComfyUI, Visage's own, any the user names, and those it comes with."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from . import builtin
from .catalogue import Kind, KnownWeights, by_file_name, by_name, of_kind
from .folders import FOLDERS, SUFFIXES, may_be, serves

_CACHE_FOLDERS: dict[Kind, str] = {
    "detector": "detectors",
    "restorer": "restorers",
    "parser": "parsers",
    "embedder": "embedders",
    "upscaler": "upscalers",
}
# Names of the Impact Pack begin here: bbox/face_yolov8m.pt. It is no folder of ComfyUI's, which looks into folders
# within folders and would list all of bbox and segm twice.
_ABOVE_FOLDERS: dict[Kind, tuple[str, ...]] = {"detector": ("ultralytics",)}
# For who asks for weights of one kind where another is wanted.
_USES: dict[Kind, str] = {
    "detector": "a detector: use it as --detector",
    "restorer": "a restorer: use it as --restorer",
    "parser": "a parser: use it as --parser",
    "embedder": "an embedder: use it as --embedder",
    "upscaler": "an upscaler: use it as --upscaler or --restorer",
}

# Kinds of which weights come with Visage.
_BUILT_IN: tuple[Kind, ...] = ("detector", "restorer")


def cache_folder() -> Path:
    """Visage's own folder, which may not exist yet.

    ``$XDG_CACHE_HOME/visage`` or ``~/.cache/visage``; on Windows ``%LOCALAPPDATA%\\visage``.
    """
    if sys.platform == "win32":
        base, usual = os.environ.get("LOCALAPPDATA"), _home() / "AppData" / "Local"
    else:
        base, usual = os.environ.get("XDG_CACHE_HOME"), _home() / ".cache"
    return (Path(base) if base else usual) / "visage"


def _home() -> Path:
    """The home folder; for somebody who has none, as in a container, a path at which nothing is nor can be."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.devnull)


def as_meant(path: str | Path) -> Path:
    """A path with ``~`` for a home folder, unless a file is called so, or nobody whose home it could be."""
    given = Path(path)
    if given.exists():
        return given
    try:
        return given.expanduser()
    except RuntimeError:
        return given


def comfyui_models() -> Path | None:
    """The models folder of a ComfyUI on this machine: ``$COMFYUI_PATH``, else where comfy-cli installs it."""
    named = os.environ.get("COMFYUI_PATH")
    models = (as_meant(named) if named else _home() / "comfy" / "ComfyUI") / "models"
    return models if models.is_dir() else None


def search_folders(kind: Kind, extra: Sequence[Path] = ()) -> list[Path]:
    """Every folder in which weights of a kind are looked for, first choice first. Some may not exist.

    Args:
        extra: folders that the user named. Each is searched itself, then the sub-folders it has if it is laid out as
            the models folder of ComfyUI is.
    """
    layout = [place for folder in FOLDERS[kind] for place in folder.places]
    layout += _ABOVE_FOLDERS.get(kind, ())
    folders: list[Path] = []
    for named in extra:
        below = (named / place for place in (*layout, _CACHE_FOLDERS[kind]))
        folders += [named, *(folder for folder in below if folder.is_dir())]
    models = comfyui_models()
    if models is not None:
        folders += [models / place for place in layout]
    folders.append(cache_folder() / _CACHE_FOLDERS[kind])
    if kind in _BUILT_IN:
        folders.append(builtin.FOLDER)
    return folders


def folder_for(known: KnownWeights) -> Path:
    """Where a download of these weights belongs: in ComfyUI where there is one, so that both find it."""
    models = comfyui_models()
    return models / known.folder if models is not None else cache_folder() / _CACHE_FOLDERS[known.kind]


def available(kind: Kind, extra: Sequence[Path] = ()) -> list[Path]:
    """The weight files of a kind in :func:`search_folders`, in that order and by name within a folder.

    A file that the catalogue knows to be of another kind is left out, except that upscalers count as restorers.
    """
    found: list[Path] = []
    for folder in search_folders(kind, extra):
        if folder.is_dir():
            names = (path for path in folder.iterdir() if may_be(kind, path.name) and not path.name.startswith("."))
            found += sorted((path for path in names if path.is_file()), key=lambda path: path.name.lower())
    return list(dict.fromkeys(found))


def find_weights(name_or_path: str | Path, kind: Kind, extra: Sequence[Path] = ()) -> Path:
    """The weight file that a user means.

    In this order: a path to a file, a file name in one of the folders, a file name without its suffix (in any case,
    safetensors first), and a name of the catalogue.

    Raises:
        FileNotFoundError: nothing fits. The message says where it was looked for, what resembles it, and how to get
            it.
        IsADirectoryError: the path is a folder that is no name of a weight file either.
    """
    wanted = as_meant(name_or_path)
    if wanted.is_file():
        return wanted
    folders = search_folders(kind, extra)
    for folder in folders:
        if (folder / wanted).is_file():
            return folder / wanted
    known = by_name(str(name_or_path))
    names = [wanted.name, *(Path(name).stem for name in (known.file_names if known else ()))]
    files = available(kind, extra)
    for name in names:
        fitting = [path for path in files if path.stem.lower() == name.lower()]
        if fitting:
            return min(fitting, key=lambda path: SUFFIXES[kind].index(path.suffix.lower()))
    if wanted.is_dir():
        raise IsADirectoryError(f"{wanted} is a folder. Name the weight file in it, or give the folder as --models.")
    raise FileNotFoundError(_explain(str(name_or_path), kind, folders, files))


def close_names(wanted: str, names: Iterable[str]) -> list[str]:
    """Those of the names, three at most, that resemble what was typed: in any case, with or without a suffix."""
    by_key: dict[str, str] = {}
    for name in sorted(names):
        for key in (name.lower(), _without_suffix(name)):
            by_key.setdefault(key, name)
    close = difflib.get_close_matches(wanted.lower(), by_key, n=6, cutoff=0.5)
    return list(dict.fromkeys(by_key[key] for key in close))[:3]


def _without_suffix(name: str) -> str:
    path = PurePath(name.lower())
    return path.stem if any(path.suffix in suffixes for suffixes in SUFFIXES.values()) else path.name


def _known(wanted: str) -> KnownWeights | None:
    """What the catalogue has of that name, be it that of a file without its suffix."""
    return by_name(wanted) or by_file_name(wanted) or by_file_name(f"{wanted}.safetensors")


def _explain(wanted: str, kind: Kind, folders: Sequence[Path], files: Sequence[Path]) -> str:
    known = _known(wanted)
    if known is not None and not serves(known, kind):
        return f"{known.name} is {_USES[known.kind]}."
    lines = [f"No {kind} called {wanted}."]
    if known is not None:
        lines.append(f"Get it with:  visage models get {known.name}")
    else:
        close = close_names(wanted, {path.name for path in files} | {entry.name for entry in of_kind(kind)})
        if close:
            lines.append(f"Did you mean {' or '.join(close)}?")
    if files:
        lines.append(f"There is: {', '.join(dict.fromkeys(path.name for path in files))}.")
    lines.append("Looked in:")
    lines += [f"  {folder}{_state(folder)}" for folder in folders]
    return "\n".join(lines)


def _state(folder: Path) -> str:
    if not folder.is_dir():
        return " (does not exist)"
    return "" if any(folder.iterdir()) else " (empty)"

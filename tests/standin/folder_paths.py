"""A stand-in: folders of models by name, and the files in them."""

from __future__ import annotations

from pathlib import Path

models_dir = ""
folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {}


def add_model_folder_path(folder_name: str, full_folder_path: str) -> None:
    paths, _ = folder_names_and_paths.setdefault(folder_name, ([], set()))
    if full_folder_path not in paths:
        paths.append(full_folder_path)


def get_filename_list(folder_name: str) -> list[str]:
    paths, suffixes = folder_names_and_paths[folder_name]
    found = {
        str(file.relative_to(path))
        for path in map(Path, paths)
        for file in path.rglob("*")
        if file.is_file() and (not suffixes or file.suffix.lower() in suffixes)
    }
    return sorted(found)


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    for path in folder_names_and_paths[folder_name][0]:
        if Path(path, filename).is_file():
            return str(Path(path, filename))
    raise FileNotFoundError(f"Model in folder '{folder_name}' with filename '{filename}' not found.")

"""Packages that some files need: what to do where one is missing or broken."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from .weights import WeightsError

# What is not imported until it is needed, by the name in `import`: how it is installed, and for what.
PACKAGES = {
    "cv2": ("opencv-python", "all work on pixels"),
    "facexlib": ("facexlib", "RetinaFace, BiSeNet, ParseNet and ArcFace"),
    "spandrel": ("spandrel", "upscalers"),
    "spandrel_extra_arches": ("spandrel_extra_arches", "upscalers"),
    "ultralytics": ("ultralytics", "YOLO"),
}
# pip takes the newest of what it installs, and replaces these where that asks for another version: transformers 4 by 5,
# numpy 1 by 2, with which other programs in the same Python stop working. Named with their versions they stay.
_KEPT = ("numpy", "transformers")


def pip_install(*packages: str) -> str:
    """The command that installs packages into this Python and leaves what ComfyUI needs as it is."""
    kept = []
    for name in _KEPT:
        try:
            kept.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return " ".join([python, "-m pip install", *packages, *kept])


@contextmanager
def needed_by(what: str, package: str) -> Iterator[None]:
    """For imports of a package, and nothing else.

    Args:
        what: needs it.
        package: its name for pip.

    Raises:
        WeightsError: it is missing or broken. The message says what to do.
    """
    try:
        yield
    except (ImportError, RuntimeError) as error:  # diffusers raises RuntimeError where one of its own imports fails
        raise WeightsError(f"{what} needs the package {package} ({_first_line(error)}). {_advice(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


def _advice(error: Exception) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is None or "." in missing:
        return 'It is there but cannot be loaded: see "Installing" in docs/troubleshooting.md.'
    return f"Install it with: {pip_install(PACKAGES.get(missing, (missing, ''))[0])}"


def package_problems() -> list[str]:
    """What lacks or breaks which package, a line for each, and how to install all that are missing."""
    said, missing = [], []
    for name, (package, purpose) in PACKAGES.items():
        if importlib.util.find_spec(name) is None:
            said.append(f"The package {package} is not installed: {purpose} will not run.")
            missing.append(package)
    if "opencv-python" not in missing:
        try:
            # Nearly everything needs it, it is quick, and it is the one that lacks libraries of the system.
            importlib.import_module("cv2")
        except ImportError as error:
            said.append(f"OpenCV cannot be loaded ({_first_line(error)}): {PACKAGES['cv2'][1]} will not run.")
    if missing:
        said.append(f"Install with: {pip_install(*missing)}")
    return said

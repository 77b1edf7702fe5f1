"""OpenCV, which is imported where it is used: of all that Visage needs it is what most often lacks a library."""

from __future__ import annotations

from types import ModuleType


class OpenCVError(ImportError):
    """OpenCV is missing or cannot be loaded. The message says what to do."""


def opencv() -> ModuleType:
    """The module ``cv2``, or :class:`OpenCVError`."""
    try:
        import cv2
    except ImportError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise OpenCVError(
            f'OpenCV cannot be loaded ({reason}): see "Installing" in docs/troubleshooting.md of Visage.'
        ) from error
    module: ModuleType = cv2
    return module

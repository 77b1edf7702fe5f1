"""Importing ultralytics and leaving the process as it was.

Its import sets OpenCV to one thread, replaces ``PIL.Image.open`` and ``torch.save`` (and ``cv2.imread`` on Windows),
changes the print options of numpy and torch, environment variables, warning filters and loggers, looks up a name on
the network, and writes a settings file into the home folder that turns on reports to its makers. Visage wants its
network classes and nothing else.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import TextIO

from ..locations import cache_folder

_LOCK = threading.Lock()
_LOGGERS = ("ultralytics", "coremltools", "sentry_sdk")


def ultralytics_module(name: str) -> ModuleType:
    """A module of ultralytics, say ``ultralytics.nn.tasks``, imported without its side effects.

    Where something else in the process has imported it already, it is used as it is: building a network asks for
    nothing of what ultralytics does on the side, so nothing has to be switched off.

    Raises:
        ImportError: ultralytics is not installed or broken.
    """
    with _LOCK, contextlib.nullcontext() if name in sys.modules else undisturbed():
        return importlib.import_module(name)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Gives back, at its end, what an import of ultralytics changes in the process."""
    import cv2
    import numpy as np
    import PIL.Image
    import torch

    kept = [
        (owner, name, getattr(owner, name))
        for owner, name in (
            (PIL.Image, "open"),
            (torch, "save"),
            (torch, "load"),
            (cv2, "imread"),
            (cv2, "imwrite"),
            (cv2, "imshow"),
        )
    ]
    threads = cv2.getNumThreads()
    options = vars(torch._tensor_str.PRINT_OPTS).copy()
    try:
        with (
            _environment(),
            _loggers(),
            warnings.catch_warnings(),
            np.printoptions(),
            contextlib.redirect_stdout(_Utf8Stdout(sys.stdout)),
        ):
            yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)
        cv2.setNumThreads(threads)
        vars(torch._tensor_str.PRINT_OPTS).update(options)


class _Utf8Stdout(io.TextIOBase):
    """Passes on what is written, and says it is UTF-8, because on Windows any other stdout would be re-encoded."""

    encoding = "utf-8"

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout

    def write(self, text: str) -> int:
        return self._stdout.write(text)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """No network, no installing, no messages, settings in Visage's own cache; the old environment afterwards."""
    before = dict(os.environ)
    os.environ.update(
        YOLO_OFFLINE="True",
        YOLO_AUTOINSTALL="False",
        YOLO_VERBOSE="False",
        YOLO_CONFIG_DIR=str(cache_folder()),
        ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS="1",
    )
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _loggers() -> Iterator[None]:
    """Puts the loggers back, so that what ultralytics has to say goes where the application sends its log."""
    before = [
        (logger, logger.level, logger.propagate, list(logger.handlers)) for logger in map(logging.getLogger, _LOGGERS)
    ]
    try:
        yield
    finally:
        for logger, level, propagate, handlers in before:
            logger.setLevel(level)
            logger.propagate = propagate
            logger.handlers[:] = handlers

"""On what the node tests run: the stand-in in ``tests/standin``, or a real ComfyUI.

Only one of the two fits into a process, because both call themselves ``comfy``. The variable ``VISAGE_NODES_ON`` says
which: ``standin`` (the default) or ``comfyui``. :func:`run` starts a process for the latter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
STANDIN = TESTS / "standin"
VARIABLE = "VISAGE_NODES_ON"


def comfyui() -> Path | None:
    """A real ComfyUI on this machine: ``$COMFYUI_PATH``, else where comfy-cli installs it."""
    folder = Path(os.environ.get("COMFYUI_PATH") or Path.home() / "comfy" / "ComfyUI").expanduser()
    return folder if (folder / "main.py").is_file() else None


def why_not() -> str | None:
    """Why no real ComfyUI can be run in this environment, or ``None`` where one can."""
    folder = comfyui()
    if folder is None:
        return "needs a ComfyUI: set COMFYUI_PATH, or install it to ~/comfy/ComfyUI"
    # What ComfyUI wants and Visage does not.
    if any(find_spec(name) is None for name in ("aiohttp", "comfy_kitchen", "sqlalchemy", "torchsde")):
        return f"needs ComfyUI's requirements in this environment: pip install -r {folder / 'requirements.txt'}"
    return None


def run(*arguments: str, seconds: int) -> str:
    """Runs tests of this folder on a real ComfyUI, in a process of its own. They must pass.

    Args:
        arguments: of pytest.
        seconds: that it may take.

    Returns:
        What pytest says.
    """
    if reason := why_not():
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=TESTS,
        env=os.environ | {VARIABLE: "comfyui"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@cache
def begin(base: Path) -> None:
    """Makes ``comfy``, ``comfy_api`` and ``folder_paths`` importable, with their models under ``base``.

    Call it with the same folder in all tests of a process: there is one ComfyUI in it.
    """
    base.mkdir(exist_ok=True)
    if os.environ.get(VARIABLE) == "comfyui":
        _begin_comfyui(base)
        return
    sys.path.insert(0, str(STANDIN))
    import folder_paths

    folder_paths.models_dir = str(base / "models")


def _begin_comfyui(base: Path) -> None:
    folder = comfyui()
    assert folder is not None, f"{VARIABLE} is comfyui, but there is none: set COMFYUI_PATH"
    sys.path.insert(0, str(folder))
    sys.argv = ["main.py", "--cpu", "--base-directory", str(base), "--disable-api-nodes"]
    import comfy.options

    # ComfyUI reads its arguments when its modules are first imported.
    comfy.options.enable_args_parsing()
    import folder_paths

    Path(folder_paths.get_temp_directory()).mkdir(parents=True, exist_ok=True)

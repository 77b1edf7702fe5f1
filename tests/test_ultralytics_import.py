"""Loading a detector leaves the process as it was: checked from outside, in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, logging, os, random, signal, socket, sys, threading, warnings
import cv2, numpy as np, PIL.Image, torch, torchvision
cv2.setNumThreads(2)
warnings.filterwarnings("ignore", message="mine")
before_import = sys.argv[2]
if before_import:
    exec(before_import)
happened = []

def watch(event, arguments):
    network = event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect")
    if network or event in ("subprocess.Popen", "os.system", "os.fork", "os.posix_spawn", "os.exec"):
        happened.append([event, str(arguments)[:100]])
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        happened.append([event, str(arguments[0])])

def state():
    return {
        "opencv threads": cv2.getNumThreads(),
        "functions": [id(f) for f in (PIL.Image.open, torch.save, torch.load, cv2.imread, cv2.imwrite, cv2.imshow)],
        "environment": dict(os.environ),
        "warnings": [str(one) for one in warnings.filters],
        "numpy printing": str(np.get_printoptions()),
        "torch printing": str(vars(torch._tensor_str.PRINT_OPTS)),
        "loggers": [
            [one.name, one.level, one.propagate, str(one.handlers)]
            for one in map(logging.getLogger, ("", "ultralytics", "coremltools", "sentry_sdk", "PIL"))
        ],
        "torch": [torch.get_num_threads(), str(torch.get_default_dtype()), torch.is_grad_enabled()],
        "torch random": hash(torch.get_rng_state().numpy().tobytes()),
        "random": [str(np.random.get_state()[1]), hash(random.getstate())],
        "signals": [str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM)],
        "allowed in pickles": len(torch.serialization.get_safe_globals()),
        "others": [str(sys.stdout), str(sys.excepthook), str(sys.path), os.getcwd(), str(socket.getdefaulttimeout())],
        "threads": threading.active_count(),
    }

from pathlib import Path
from visage.models.detectors import load_detector
from visage.models.host import TorchHost
sys.addaudithook(watch)
before = state()
detector = load_detector(Path(sys.argv[1]), TorchHost("cpu", quiet=True))
after = state()
changed = {name: [str(before[name]), str(after[name])] for name in before if before[name] != after[name]}
print(json.dumps({"changed": changed, "happened": happened, "modules": sorted(sys.modules)}))
"""


def load_in_fresh_process(weights: Path, home: Path, before_import: str = "") -> dict[str, Any]:
    hidden = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "YOLO_CONFIG_DIR", "LOCALAPPDATA")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(weights), before_import],
        env=environment | {"HOME": str(home), "USERPROFILE": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.skipif(sys.platform == "win32", reason="the cache folder is not below the home folder there")
def test_loading_a_yolo_file_changes_nothing(data: Path, tmp_path: Path) -> None:
    result = load_in_fresh_process(data / "weights" / "yolov8n-face.pt", tmp_path)
    assert "ultralytics.nn.tasks" in result["modules"]
    assert result["changed"] == {}
    cache = tmp_path / ".cache" / "visage"
    assert all(event == "open" and Path(path).is_relative_to(cache) for event, path in result["happened"])
    assert all(path.is_relative_to(cache) for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["detection_mobilenet0.25_Final.pth", "face_detection_yunet_2023mar.onnx"])
def test_other_detectors_change_nothing_and_need_no_ultralytics(data: Path, tmp_path: Path, name: str) -> None:
    result = load_in_fresh_process(data / "weights" / name, tmp_path)
    assert not [module for module in result["modules"] if module.startswith("ultralytics")]
    assert result["changed"] == {}
    assert result["happened"] == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_ultralytics_that_somebody_else_imported_stays_as_it_is(data: Path, tmp_path: Path) -> None:
    """Another pack of the same process relies on what its import did: its patches are not taken away."""
    settings = tmp_path / "theirs"
    theirs = (
        f"os.environ.update(YOLO_CONFIG_DIR={str(settings)!r}, YOLO_OFFLINE='True', YOLO_VERBOSE='False'); "
        "import ultralytics.nn.tasks; assert PIL.Image.open.__module__.startswith('ultralytics')"
    )
    result = load_in_fresh_process(data / "weights" / "yolov8n-face.pt", tmp_path, theirs)
    assert result["changed"] == {}
    assert result["happened"] == []


def test_importing_the_detectors_imports_no_ultralytics() -> None:
    code = "import sys, visage.models.detectors; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    for heavy in ("ultralytics", "facexlib", "cv2"):
        assert f"'{heavy}'" not in done.stdout

"""A real ComfyUI server in a folder of its own, for tests."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_START_SECONDS = 120
_RUN_SECONDS = 180


class Server:
    """A ComfyUI on the CPU with nothing but its own nodes and one pack.

    Args:
        comfyui: its folder.
        base: where its models, inputs, outputs and custom nodes are.
        pack: the folder of the pack below ``custom_nodes``.
    """

    def __init__(self, comfyui: Path, base: Path, pack: str) -> None:
        self.base = base
        self._log_file = base / "log.txt"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)]
        command += ["--base-directory", str(base), "--database-url", "sqlite:///:memory:", "--disable-auto-launch"]
        command += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", pack, "--disable-api-nodes"]
        with self._log_file.open("w") as log:
            environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
            self._process = subprocess.Popen(
                command, cwd=comfyui, stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log[-4000:]
            try:
                self.get("/system_stats")
            except urllib.error.URLError:
                time.sleep(0.3)
            else:
                return
        raise AssertionError(f"no answer in {_START_SECONDS} s:\n{self.log[-4000:]}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:  # noqa: S310 - our own address
            content: bytes = answer.read()
            return content

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def post(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """What the server says to a prompt: with ``prompt_id`` if it takes it, else with ``error``."""
        body = json.dumps({"prompt": prompt}).encode()
        request = urllib.request.Request(  # noqa: S310
            self.address + "/prompt", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                taken: dict[str, Any] = json.load(answer)
                return taken
        except urllib.error.HTTPError as refusal:
            refused: dict[str, Any] = json.load(refusal)
            return refused

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """Runs a prompt to its end: ``status`` and ``outputs`` as ``GET /history`` gives them."""
        answer = self.post(prompt)
        assert "prompt_id" in answer, json.dumps(answer, indent=1)[:4000]
        deadline = time.monotonic() + _RUN_SECONDS
        while time.monotonic() < deadline:
            history = self.json(f"/history/{answer['prompt_id']}")
            if answer["prompt_id"] in history:
                done: dict[str, Any] = history[answer["prompt_id"]]
                return done
            time.sleep(0.2)
        raise AssertionError(f"not done in {_RUN_SECONDS} s:\n{self.log[-4000:]}")

    def forget(self) -> None:
        """Empties the list of what was run."""
        request = urllib.request.Request(  # noqa: S310
            self.address + "/history", b'{"clear": true}', {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310

    def picture(self, saved: dict[str, str]) -> np.ndarray:
        """``[H, W, C]`` uint8 of a picture that ``outputs`` names."""
        query = "&".join(f"{name}={saved[name]}" for name in ("filename", "subfolder", "type"))
        return np.asarray(Image.open(io.BytesIO(self.get(f"/view?{query}"))))

"""The tree as a package: light to import, under any folder name, and with its arrows pointing one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What each part may import of the others.
ALLOWED = {
    "fields": set(),
    "atomic": set(),
    "opencv": set(),
    "faces": {"faces", "fields", "opencv"},
    "models": {"models", "faces", "fields", "atomic", "opencv"},
    "training": {"training", "drawing", "models", "faces", "fields", "atomic"},
    "pipeline": {"pipeline", "models", "faces", "fields"},
    "drawing": {"faces"},
    "cli": {"cli", "pipeline", "drawing", "models", "faces", "fields", "atomic", "opencv"},
    "nodes": {"nodes", "pipeline", "drawing", "models", "faces", "fields", "opencv"},
}
COMFYUI = {
    "comfy",
    "comfy_api",
    "comfy_extras",
    "comfy_execution",
    "folder_paths",
    "node_helpers",
    "latent_preview",
    "server",
}


def python(code: str, folder: Path = ROOT.parent) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    return done.stdout


def test_importing_it_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import visage; taken = time.perf_counter() - start;"
        "print(taken, [name for name in ('torch', 'numpy', 'cv2', 'comfy', 'ultralytics') if name in sys.modules])"
    )
    seconds, heavy = min(python(code).split(" ", 1) for _ in range(3))
    assert heavy.strip() == "[]"
    assert float(seconds) < 0.2


def test_the_command_line_tells_its_commands_without_loading_pytorch() -> None:
    code = """
import sys
from visage.cli import main
for words in (["--help"], ["--version"], [], ["restor"]):
    try:
        main(words)
    except SystemExit:
        pass
print("torch" in sys.modules)
"""
    *_, last = python(code).splitlines()
    assert last == "False"


def test_installing_into_comfyui_replaces_nothing_of_its_own() -> None:
    """A bound that ComfyUI's own version does not meet would have pip replace it: PyTorch by the build for another
    device, Pillow by one that another pack refuses. diffusers would have transformers, and ComfyUI, not start."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    own = {"torch", "torchvision", "safetensors", "numpy", "pillow", "tqdm", "psutil"}
    assert own <= wanted
    assert not any(line.startswith(("diffusers", "transformers", "huggingface")) for line in wanted)
    assert "spandrel>=0.4.2" in wanted


def test_the_command_line_wants_more() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dependencies = { file = ["requirements.txt", "requirements-cli.txt"] }' in text
    assert "diffusers" in (ROOT / "requirements-cli.txt").read_text(encoding="utf-8")


def test_it_works_under_any_folder_name(tmp_path) -> None:
    """As ComfyUI imports it: from a path, under a module name that is no identifier."""
    (tmp_path / "My faces-2.0").symlink_to(ROOT)
    folder = tmp_path / "My faces-2.0"
    code = f"""
import importlib, importlib.util, sys
name = {str(folder).replace(".", "_x_")!r}
spec = importlib.util.spec_from_file_location(name, {str(folder / "__init__.py")!r})
module = sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
pipeline = importlib.import_module(".pipeline", name)
print(module.WEB_DIRECTORY, pipeline.restore.__module__ == name + ".pipeline.restoring", "visage" in sys.modules)
"""
    assert python(code, tmp_path).split() == ["./js", "True", "False"]


@pytest.mark.parametrize("module", ["visage", "visage.cli"])
def test_it_runs_as_a_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert done.stdout.startswith("visage ")


def modules() -> list[Path]:
    parts = [ROOT / part if (ROOT / part).is_dir() else ROOT / f"{part}.py" for part in ALLOWED]
    return [path for part in parts for path in ([part] if part.suffix else sorted(part.rglob("*.py")))]


def test_opencv_is_imported_where_its_errors_are_told() -> None:
    """Among the imports of ultralytics it is told as one of those."""
    importing = [path.relative_to(ROOT).as_posix() for path in modules() if "import cv2" in path.read_text("utf-8")]
    assert [name for name in importing if not name.startswith("training/")] == [
        "opencv.py",
        "models/detectors/ultralytics_import.py",
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_one_way(path) -> None:
    package = path.relative_to(ROOT).parts[:-1]
    part = package[0] if package else path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported = {(node.module or "").split(".")[0]}
        elif isinstance(node, ast.ImportFrom):
            whole = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            first = [name for name in whole if name][:1]
            # `from .. import x` at the root names the modules themselves.
            ours = set(first) if first else {alias.name for alias in node.names} - {"__version__"}
            assert ours <= ALLOWED[part], f"line {node.lineno} imports {ours}"
            continue
        else:
            continue
        assert "visage" not in imported, f"line {node.lineno}: imports are relative"
        assert part == "nodes" or not imported & COMFYUI, f"line {node.lineno} imports ComfyUI"

"""From a folder or file to a refiner."""

from __future__ import annotations

from pathlib import Path

from ...file_format import file_format
from ...host import Host
from ...packages import needed_by
from ...weights import WeightsError
from .folder import INDEX, is_diffusers_folder, read_folder
from .precision import DTYPES, InpaintPrecision
from .refiner import DiffusersRefiner
from .single_file import read_single_file


def load_inpainter(
    path: Path,
    host: Host,
    precision: InpaintPrecision = "fp16",
    tokenizer: Path | None = None,
    spare_tokenizer: Path | None = None,
) -> DiffusersRefiner:
    """Loads a model of the Stable Diffusion 1, 2 or XL kind. Nothing is downloaded, and nothing but tensors and plain
    text is read.

    Args:
        path: a folder in diffusers format, or a checkpoint of Stable Diffusion 1.5 or SDXL in one safetensors file.
        precision: of all but the VAE, which stays in float32 where its configuration asks for it.
        tokenizer, spare_tokenizer: for a checkpoint: see :func:`.single_file.read_single_file`.

    Raises:
        WeightsError: it is of another kind, a pickle, damaged or incomplete, or diffusers is missing. The message says
            what to do.
        FileNotFoundError: there is nothing at ``path``.
    """
    if is_diffusers_folder(path):
        _import_engine(path)
        parts = read_folder(path)
    elif path.is_dir():
        raise WeightsError(f"{path} is no model in diffusers format: it holds no {INDEX}. Name the folder that does.")
    elif not path.is_file():
        raise FileNotFoundError(f"There is no model at {path}. Name a diffusers folder or a .safetensors file.")
    elif file_format(path) != "safetensors":
        raise WeightsError(f"{path.name} is no safetensors file. Other files may run code: get that version of it.")
    else:
        _import_engine(path)
        parts = read_single_file(path, tokenizer, spare_tokenizer)
    return DiffusersRefiner(parts, host, DTYPES[precision])


def _import_engine(path: Path) -> None:
    """Before a file is read, so that a package that fails is not taken for a damaged file."""
    with needed_by(path.name, "diffusers"):
        from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401
        from diffusers.loaders import single_file_utils  # noqa: F401
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer  # noqa: F401

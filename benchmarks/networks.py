"""The networks that are measured: the shipped ones, and the others in their official layout with random weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import visage
from skimage.data import astronaut
from torch import Tensor, nn
from visage.models import builtin
from visage.models.detectors import DetectionSettings, load_detector
from visage.models.host import TorchHost, layout_on, ready
from visage.models.parsers.loading import ARCHITECTURES
from visage.models.restorers.loading import load_network
from visage.models.restorers.network import forward
from visage.models.weights import read_weights
from visage.tests.parity.fingerprints import NAMES as AUTHORS
from visage.tests.parity.fingerprints import Fingerprint, read_fingerprint, write_checkpoint

_LARGE_GPEN = {"gpen-1024": 1024, "gpen-2048": 2048}
_PARSERS = {"bisenet": "BiSeNet", "parsenet": "ParseNet"}
NAMES = (builtin.DETECTOR, builtin.RESTORER, *AUTHORS, "gpen-256", *_LARGE_GPEN, *_PARSERS)

# What the authors' scripts tell their networks, by spandrel's names.
_TOLD = {"GFPGAN": {"return_rgb": False}, "CodeFormer": {"weight": 0.5}}

Picture = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Measured:
    """One network, on the device, in fp32 and in the layout in which hosts keep it there.

    Attributes:
        picture: what it is given: ``[1, 3, S, S]`` float32, RGB, 0..1, on the device.
        run: the module, pictures ``[N, 3, S, S]`` in fp32 and the type of the weights. Gives float32 of about 0..1, or
            nothing that could be compared.
        plain: one picture as the authors' scripts do it, in fp32.
        needs: bytes of working memory for one picture in fp32, as Visage reckons with them.
        coarse: why it is not measured in bf16; empty where it is.
        fixed: it sees to its layout itself.
    """

    name: str
    module: nn.Module
    picture: Tensor
    run: Callable[[nn.Module, Tensor, torch.dtype], object]
    plain: Callable[[Tensor], object]
    needs: int
    coarse: str = ""
    fixed: bool = False


def measured(name: str, folder: Path, device: torch.device) -> Measured:
    """One of :data:`NAMES`. ``folder`` is for its weights, which are in use for as long as it is."""
    if name == builtin.DETECTOR:
        return _detector(device)
    if name in _PARSERS:
        return _parser(name, device)
    if name == builtin.RESTORER:
        # Any picture of its size will do.
        return _restorer(name, builtin.FOLDER / f"{name}.safetensors", read_fingerprint("gfpgan"), device)
    fingerprint = _large_gpen(_LARGE_GPEN[name]) if name in _LARGE_GPEN else read_fingerprint(name)
    path = folder / f"{name}.pth"
    write_checkpoint(fingerprint, path)
    return _restorer(name, path, fingerprint, device)


def _restorer(name: str, path: Path, fingerprint: Fingerprint, device: torch.device) -> Measured:
    network = load_network(path)
    kind = network.architecture
    ready(network.module, torch.float32, device).to(device)
    side = kind.side or 512

    def run(module: nn.Module, pictures: Tensor, dtype: torch.dtype) -> Tensor:
        return forward(network, module, pictures, dtype)

    def ours(picture: Tensor) -> Tensor:
        return forward(network, network.module, picture, torch.float32)

    return Measured(
        name=name,
        module=network.module,
        # Some are compared with their authors' on smaller crops than those that they restore.
        picture=replace(fingerprint, side=side).crop().to(device, memory_format=layout_on(device, torch.channels_last)),
        run=run,
        plain=_authors(path, device) or ours,
        needs=kind.working_bytes(1, side, side, torch.float32),
        coarse="" if kind.bf16 else f"not known to be accurate for {kind.name}",
    )


def _authors(path: Path, device: torch.device) -> Picture | None:
    """The authors' network where spandrel has it, called as their scripts call it."""
    import spandrel_extra_arches
    from spandrel import MAIN_REGISTRY, UnsupportedModelError

    registry = MAIN_REGISTRY.copy()
    registry.add(*spandrel_extra_arches.EXTRA_REGISTRY, ignore_duplicates=True)
    try:
        descriptor = registry.load(read_weights(path).tensors)
    except (UnsupportedModelError, RuntimeError):
        return None
    module = descriptor.model.eval().to(device)
    told = _TOLD.get(descriptor.architecture.id, {})

    @torch.no_grad()
    def run(picture: Tensor) -> Tensor:
        return module(picture * 2 - 1, **told)[0] / 2 + 0.5

    return run


def _large_gpen(side: int) -> Fingerprint:
    """Only a narrow one was compared with the authors': its gains keep the output of the wide ones within a picture,
    too. The largest has one stage more, which gets those of the stage before it."""
    narrow = read_fingerprint("gpen-1024-narrow")
    folder = Path(visage.__file__).parent / "tests" / "fingerprints"
    shapes: Mapping[str, list[int]] = json.loads((folder / "gpen-layouts.json").read_text())[str(side)]

    def gain(name: str) -> float:
        earlier = re.sub(r"(?<=ecd)9|(?<=to_rgbs\.)8|(?<=\.convs\.)1[67]", _one_stage_earlier, name)
        return narrow.gains.get(name, narrow.gains.get(earlier, 1.0))

    return replace(narrow, shapes=dict(shapes), gains={name: gain(name) for name in shapes}, side=side)


def _one_stage_earlier(number: re.Match[str]) -> str:
    # There are two of ``convs`` to a stage.
    return str(int(number[0]) - (2 if len(number[0]) == 2 else 1))


def _parser(name: str, device: torch.device) -> Measured:
    (kind,) = (kind for kind in ARCHITECTURES if kind.name == _PARSERS[name])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = kind.build().eval().requires_grad_(False).to(device)
    mean, spread = (torch.tensor(values, device=device)[:, None, None] for values in (kind.mean, kind.spread))

    @torch.no_grad()
    def run(module: nn.Module, pictures: Tensor, dtype: torch.dtype) -> Tensor:
        return kind.call(module, ((pictures - mean) / spread).to(dtype)).float().softmax(1)

    @torch.no_grad()
    def plain(picture: Tensor) -> object:
        return network((picture - mean) / spread)

    picture = read_fingerprint("gfpgan").crop().to(device, memory_format=layout_on(device, torch.channels_last))
    return Measured(
        name=name,
        module=network,
        picture=picture,
        run=run,
        plain=plain,
        needs=picture[0, 0].numel() * kind.bytes_per_pixel,
        coarse="" if kind.bf16 else f"not known to be accurate for {kind.name}",
    )


def _detector(device: torch.device) -> Measured:
    """The whole detection in a photograph of 640 pixels that comes with scikit-image, without tiles."""
    detector = load_detector(builtin.FOLDER / f"{builtin.DETECTOR}.safetensors", TorchHost(device, quiet=True))
    photograph = torch.from_numpy(astronaut()).movedim(-1, 0)[None] / 255
    settings = DetectionSettings(tiles="never")
    resident = detector.proposer.resident
    assert resident is not None  # noqa: S101 - it is of PyTorch

    def run(module: nn.Module, pictures: Tensor, dtype: torch.dtype) -> object:
        return detector.detect(pictures.movedim(1, -1), settings)

    return Measured(
        name=builtin.DETECTOR,
        module=resident.module,
        picture=nn.functional.interpolate(photograph, (640, 640), mode="bilinear").to(device),
        run=run,
        plain=lambda picture: detector.detect(picture.movedim(1, -1), settings),
        needs=detector.proposer.working_bytes(640, 640),
        coarse="it runs in fp32 alone",
        fixed=True,
    )

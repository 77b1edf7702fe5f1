"""Finding out which embedding network a file holds.

| file                                   | network                                                            |
|----------------------------------------|--------------------------------------------------------------------|
| ``recognition_arcface_ir_se50.pth``    | facexlib's ArcFace (Deng et al., 2019), a ResNet of 50 layers with |
|                                        | squeeze and excitation; 512 numbers                                |
| in ONNX                                | MobileFaceNet (Chen et al., 2018) with its batch norms folded in;  |
|                                        | often 128 numbers                                                  |

Both take RGB in -1..1, 112 pixels, aligned to ArcFace's template. For IR-SE-50 that is how the authors of
pixel2style2pixel use the same weights in their loss of identity; facexlib itself only builds the network.

Working memory was measured as growth of the process per face on the CPU (IR-SE-50 14 MB, MobileFaceNet 24 MB) and
raised by half for the convolution workspaces of other devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...faces.alignment import ARCFACE
from ..building import built_as
from ..file_format import file_format
from ..host import is_out_of_memory
from ..packages import needed_by
from ..weights import DAMAGE, WeightsError, no_room, read_weights
from .onnx_graph import read_graph
from .onnx_network import OnnxNetwork

_ARCFACE = "ArcFace IR-SE-50"
_ARCFACE_NAMES = frozenset({"input_layer.0.weight", "body.0.res_layer.5.fc1.weight", "output_layer.3.weight"})
_ADVICE = "Get recognition_arcface_ir_se50.pth: `visage models get arcface-ir-se50`."


@dataclass(frozen=True)
class Network:
    """An embedding network as read from a file.

    Attributes:
        name: the file's name without its ending.
        module: ``[N, 3, 112, 112]``, RGB in -1..1, to ``[N, length]``.
        architecture: as its authors call it.
        length: of the vectors.
        bytes_per_face: working memory of a call.
        same_person: cosine from which on two faces are likely those of one person; ``None`` where that is not known.
    """

    name: str
    module: nn.Module
    architecture: str
    length: int
    bytes_per_face: int
    same_person: float | None = None


def load_network(path: Path) -> Network:
    """Reads an embedder, on the CPU in fp32.

    Raises:
        WeightsError: there is no such file, or it is empty, cut short, hostile, or no embedder that is known here.
    """
    if not path.is_file():
        raise WeightsError(f"There is no weight file {path}. Check the name, or get one with `visage models get`.")
    return _onnx(path) if file_format(path) == "onnx" else _arcface(path)


def _arcface(path: Path) -> Network:
    with needed_by(path.name, "facexlib"):
        from facexlib.recognition.arcface_arch import Backbone

    tensors = read_weights(path).tensors
    if not tensors.keys() >= _ARCFACE_NAMES:
        raise WeightsError(f"{path.name} is no face embedder that Visage knows. {_ADVICE}")
    module = built_as(_ARCFACE, path.name, lambda: Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se"), tensors)
    return Network(path.stem, module, _ARCFACE, 512, 21_000_000)


def _onnx(path: Path) -> Network:
    try:
        module = OnnxNetwork(read_graph(path)).eval()
        vectors: Tensor = module(torch.zeros(1, 3, ARCFACE.size, ARCFACE.size))
    except DAMAGE as error:
        if is_out_of_memory(error):
            raise no_room(path.name) from error
        raise WeightsError(
            f"{path.name} is no face embedder that Visage knows, or it is cut short ({error}). {_ADVICE}"
        ) from error
    if vectors.ndim != 2 or len(vectors) != 1 or not vectors.numel():
        raise WeightsError(f"{path.name} gives no vector for a face: it is no face embedder. {_ADVICE}")
    return Network(path.stem, module, "MobileFaceNet", vectors.shape[1], 36_000_000, _ALIKE.get(vectors.shape[1]))


# The cosine below which the publisher of the network of 128 numbers takes two faces for those of two persons.
_ALIKE = {128: 0.47}

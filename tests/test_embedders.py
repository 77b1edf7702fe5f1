"""Face embedders: parity with facexlib's own network and OpenCV's run of the same file, batches, failures, files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from visage.models.catalogue import by_file_name
from visage.models.embedders import Embedder, embedder, load_embedder
from visage.models.embedders.loading import Network
from visage.models.embedders.onnx_graph import Graph, read_graph
from visage.models.embedders.onnx_network import OnnxNetwork
from visage.models.host import TorchHost
from visage.models.inference import AtOnce, InvalidOutputError
from visage.models.weights import WeightsError

HOST = TorchHost("cpu", quiet=True)


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protocol buffer: a whole number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(number: int) -> bytes:
    done = b""
    while number > 0x7F:
        done += bytes([number & 0x7F | 0x80])
        number >>= 7
    return done + bytes([number])


def tensor(name: str, values: Tensor, number: int = 5) -> bytes:
    sides = b"".join(field(1, side) for side in values.shape)
    kind = {torch.float32: 1, torch.int64: 7, torch.float16: 10}[values.dtype]
    return field(number, sides + field(2, kind) + field(8, name.encode()) + field(9, values.numpy().tobytes()))


def attribute(name: str, value: tuple[int, ...] | int | float | str | Tensor) -> bytes:
    if isinstance(value, tuple):
        held = b"".join(field(8, number) for number in value)
    elif isinstance(value, int):
        held = field(3, value % 2**64)
    elif isinstance(value, float):
        held = varint(2 << 3 | 5) + struct.pack("<f", value)
    elif isinstance(value, str):
        held = field(4, value.encode())
    else:
        held = tensor("", value)
    return field(5, field(1, name.encode()) + held)


def node(
    operation: str, inputs: list[str], output: str, **attributes: tuple[int, ...] | int | float | str | Tensor
) -> bytes:
    return field(
        1,
        b"".join(field(1, one.encode()) for one in inputs)
        + field(2, output.encode())
        + field(4, operation.encode())
        + b"".join(attribute(name, value) for name, value in attributes.items()),
    )


def onnx_file(path: Path, last: str = "Flatten") -> Tensor:
    """Writes a network that gives a weighted sum of each channel; its weights ``[3, 112, 112]``."""
    weights = torch.rand(3, 1, 112, 112, generator=torch.Generator().manual_seed(4)) - 0.5
    graph = (
        node("Conv", ["image", "weights"], "sums", group=(3,), strides=(1, 1), pads=(0, 0, 0, 0))
        + node(last, ["sums"], "vectors")
        + tensor("weights", weights)
    )
    write_graph(path, graph)
    return weights[:, 0]


def write_graph(path: Path, graph: bytes) -> Path:
    path.write_bytes(field(1, 8) + field(7, graph))
    return path


class Anything(nn.Module):
    """Calls a function; runs out of memory beyond ``most`` faces at once."""

    def __init__(self, function, most: int = 99) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.function, self.most = function, most
        self.batches: list[int] = []

    def forward(self, faces: Tensor) -> Tensor:
        self.batches.append(len(faces))
        if len(faces) > self.most:
            raise torch.OutOfMemoryError("out of memory, pretended")
        return self.function(faces)


def embedder_of(function, most: int = 99) -> tuple[Embedder, Anything]:
    module = Anything(function, most)
    return Embedder(Network("pretended", module, "pretended", 6, 1000), HOST), module


def means(faces: Tensor) -> Tensor:
    return torch.cat((faces.mean((2, 3)), faces[..., :56].mean((2, 3))), dim=1)


@pytest.fixture
def crops(generator: torch.Generator) -> Tensor:
    return torch.rand(7, 3, 112, 112, generator=generator)


def test_arcface_is_facexlibs_network(tmp_path: Path, crops: Tensor) -> None:
    from facexlib.recognition.arcface_arch import Backbone

    theirs = Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se").eval()
    torch.save(theirs.state_dict(), tmp_path / "recognition_arcface_ir_se50.pth")
    state = torch.get_rng_state()
    ours = load_embedder(tmp_path / "recognition_arcface_ir_se50.pth", HOST)
    assert torch.equal(torch.get_rng_state(), state)
    assert (ours.name, ours.architecture) == ("recognition_arcface_ir_se50", "ArcFace IR-SE-50")
    assert (ours.length, ours.same_person) == (512, None)
    with torch.no_grad():
        expected = theirs(crops[:2] * 2 - 1)
    assert (ours.embed(crops[:2]) - expected).abs().max() < 1e-5
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    save_file({name: torch.zeros(1) for name in theirs.state_dict()}, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match=r"part\.safetensors looks like ArcFace IR-SE-50, but tensors are missing"):
        load_embedder(tmp_path / "part.safetensors", HOST)


def test_an_onnx_network_is_run_as_it_is_written(tmp_path: Path, crops: Tensor) -> None:
    weights = onnx_file(tmp_path / "sums.onnx")
    ours = load_embedder(tmp_path / "sums.onnx", HOST)
    sums = ((crops * 2 - 1) * weights).sum((2, 3))
    assert (ours.embed(crops) - F.normalize(sums, dim=1)).abs().max() < 1e-5
    assert (ours.length, ours.same_person) == (3, None)


FILTERS = torch.rand(4, 3, 3, 3, generator=torch.Generator().manual_seed(5)) - 0.5


@pytest.mark.parametrize(
    ("attributes", "heeded"),
    [
        ({}, {}),
        ({"strides": (2, 1)}, {"stride": (2, 1)}),
        ({"pads": (1, 2, 1, 2)}, {"padding": (1, 2)}),
        ({"dilations": (2, 3), "auto_pad": "NOTSET"}, {"dilation": (2, 3)}),
        ({"group": 1, "kernel_shape": (3, 3)}, {}),
    ],
)
def test_convolutions_are_those_of_the_file(tmp_path: Path, attributes: dict, heeded: dict) -> None:
    graph = node("Conv", ["image", "filters"], "map", **attributes) + tensor("filters", FILTERS)
    network = OnnxNetwork(read_graph(write_graph(tmp_path / "filters.onnx", graph)))
    picture = torch.rand(2, 3, 12, 14, generator=torch.Generator().manual_seed(6))
    assert torch.equal(network(picture), F.conv2d(picture, FILTERS, **heeded))


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"pads": (0, 0, 1, 1)}, r"pads \(0, 0, 1, 1\)"),
        ({"auto_pad": "SAME_UPPER"}, "auto_pad SAME_UPPER"),
        ({"other": 1}, "Conv with other"),
    ],
)
def test_what_a_convolution_asks_for_and_is_not_done_is_refused(tmp_path: Path, attributes: dict, said: str) -> None:
    graph = node("Conv", ["image", "filters"], "map", **attributes) + tensor("filters", FILTERS)
    graph += node("Flatten", ["map"], "vectors")
    path = write_graph(tmp_path / "filters.onnx", graph)
    with pytest.raises(ValueError, match=said):
        OnnxNetwork(read_graph(path))
    with pytest.raises(WeightsError, match=said):
        load_embedder(path, HOST)


def test_inputs_that_the_file_does_not_hold_are_refused(tmp_path: Path) -> None:
    conv = node("Conv", ["image", "filters", "bias"], "map") + tensor("filters", FILTERS)
    for missing in (b"", tensor("bias", torch.zeros(4, dtype=torch.float16)), tensor("other", torch.zeros(4))):
        with pytest.raises(ValueError, match="Conv takes 'bias', which is no tensor that is read"):
            OnnxNetwork(read_graph(write_graph(tmp_path / "filters.onnx", conv + missing)))
    with pytest.raises(ValueError, match="Clip with 3 inputs"):
        OnnxNetwork(read_graph(write_graph(tmp_path / "clip.onnx", node("Clip", ["image", "low", "high"], "map"))))
    elsewhere = field(5, field(1, 4) + field(2, 1) + field(8, b"bias"))
    with pytest.raises(ValueError, match="The numbers of the tensor bias are not all in the file"):
        read_graph(write_graph(tmp_path / "filters.onnx", conv + elsewhere))


@pytest.mark.parametrize("stored", ["constant", "tensor"])
@pytest.mark.parametrize("shape", [(1, -1), (-1, 48), (0, -1)])
def test_reshape_gives_a_row_for_each_picture(tmp_path: Path, shape: tuple[int, ...], stored: str) -> None:
    path, wanted = tmp_path / "rows.onnx", torch.tensor(shape)
    held = node("Constant", [], "shape", value=wanted) if stored == "constant" else tensor("shape", wanted)
    network = OnnxNetwork(read_graph(write_graph(path, held + node("Reshape", ["image", "shape"], "rows"))))
    pictures = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(7))
    assert torch.equal(network(pictures), pictures.flatten(1))


@pytest.mark.parametrize("shape", [(1, 3, 16), (-1, 24), (48, -1), (2, -1), (-1,)])
def test_other_shapes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    graph = node("Constant", [], "shape", value=torch.tensor(shape)) + node("Reshape", ["image", "shape"], "rows")
    network = OnnxNetwork(read_graph(write_graph(tmp_path / "rows.onnx", graph)))
    with pytest.raises(ValueError, match="only one row for each picture"):
        network(torch.zeros(1, 3, 4, 4))


def test_limits_axes_and_results_are_those_of_the_file(tmp_path: Path) -> None:
    path, picture = tmp_path / "some.onnx", torch.linspace(-9, 9, 48).view(1, 3, 4, 4)
    network = OnnxNetwork(read_graph(write_graph(path, node("Clip", ["image"], "map", max=6.0))))
    assert torch.equal(network(picture), picture.clamp(max=6.0))
    for axis in (2, -1):
        write_graph(path, node("Flatten", ["image"], "rows", axis=axis))
        with pytest.raises(ValueError, match=f"Flatten at axis {axis}"):
            OnnxNetwork(read_graph(path))
    write_graph(path, node("Relu", ["image"], "one") + node("Relu", ["one"], "two") + field(12, field(1, b"one")))
    with pytest.raises(ValueError, match="not that of the last operation"):
        OnnxNetwork(read_graph(path))


def test_mobilefacenet_is_that_of_opencv_and_knows_people(data: Path) -> None:
    import cv2
    from visage.training.pictures import as_float, picture_files, read_pictures

    path = data / "weights" / "MobileFaceNet.onnx"
    ours = load_embedder(path, HOST)
    faces = as_float(read_pictures(picture_files(data / "faces512" / "val")[:2]))
    crops = F.interpolate(faces[..., 90:450, 76:436], (112, 112), mode="area")
    theirs = cv2.dnn.readNetFromONNX(str(path))
    expected = []
    for crop in crops:
        theirs.setInput((crop * 2 - 1)[None].numpy())
        expected.append(F.normalize(torch.from_numpy(theirs.forward().copy()), dim=1))
    vectors = ours.embed(torch.cat((crops, crops.flip(3))))
    assert (vectors[:2] - torch.cat(expected)).abs().max() < 1e-4
    likeness = vectors @ vectors.T
    # A face and its mirror image are one person, the two faces are not.
    assert min(likeness[0, 2], likeness[1, 3]) > ours.same_person > likeness[0, 1]


def test_vectors_have_length_one_and_no_face_acts_on_another(crops: Tensor) -> None:
    ours, module = embedder_of(means)
    vectors = ours.embed(crops)
    assert (vectors.shape, vectors.dtype) == ((7, 6), torch.float32)
    assert (vectors.norm(dim=1) - 1).abs().max() < 1e-6
    assert max(module.batches) == 4
    assert torch.equal(torch.cat([ours.embed(crop[None]) for crop in crops]), vectors)
    assert torch.equal(ours.embed(crops.half().double()), ours.embed(crops.half()))


def test_out_of_memory_halves_the_batch(crops: Tensor) -> None:
    ours, module = embedder_of(means, most=1)
    assert torch.equal(ours.embed(crops), embedder_of(means)[0].embed(crops))
    assert module.batches[:3] == [4, 2, 1]
    with pytest.raises(MemoryError, match="pretended"):
        embedder_of(means, most=0)[0].embed(crops)


def test_no_faces_and_crops_of_another_shape(crops: Tensor) -> None:
    ours, _ = embedder_of(means)
    assert ours.embed(crops[:0]).shape == (0, 6)
    for wrong in (crops[..., :100], crops[:, :1], crops[0]):
        with pytest.raises(ValueError, match=r"takes crops of shape \[N, 3, 112, 112\]"):
            ours.embed(wrong)


def test_rubbish_is_told_of_the_faces_it_came_from(crops: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    crops[5] = 0.25

    def broken(faces: Tensor) -> Tensor:
        return torch.where(faces.std((1, 2, 3), keepdim=False)[:, None] == 0, torch.nan, means(faces))

    monkeypatch.setattr(embedder, "_AT_ONCE", AtOnce(cpu=2, elsewhere=2))
    with pytest.raises(InvalidOutputError, match=r"pretended gave invalid numbers .* crop 5 of the batch") as caught:
        embedder_of(broken)[0].embed(crops)
    assert caught.value.positions == (5,)


@pytest.mark.parametrize("name", ["face.bin", "face.pth", "face.safetensors", "face"])
def test_an_onnx_network_may_be_called_anything(tmp_path: Path, crops: Tensor, name: str) -> None:
    onnx_file(tmp_path / "sums.onnx")
    expected = load_embedder(tmp_path / "sums.onnx", HOST).embed(crops)
    (tmp_path / "sums.onnx").rename(tmp_path / name)
    assert torch.equal(load_embedder(tmp_path / name, HOST).embed(crops), expected)


def test_tensors_may_be_called_onnx(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match=r"other\.onnx is no face embedder that Visage knows\. Get"):
        load_embedder(tmp_path / "other.onnx", HOST)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.3, 0.99])
def test_onnx_files_that_are_cut_short(tmp_path: Path, share: float) -> None:
    onnx_file(tmp_path / "sums.onnx")
    content = (tmp_path / "sums.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"cut\.onnx .*visage models get arcface-ir-se50"):
        load_embedder(tmp_path / "cut.onnx", HOST)


@pytest.mark.parametrize("content", [b"\xff" * 4000, b"<!DOCTYPE html>", b"\x08\x00" * 99, b"\x3a\xff\xff\xff\xff\x7f"])
def test_files_that_are_no_networks(tmp_path: Path, content: bytes) -> None:
    for name in ("page.onnx", "page.pth"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
            load_embedder(tmp_path / name, HOST)


def test_networks_that_are_no_embedders(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weight file .*nowhere\.pth"):
        load_embedder(tmp_path / "nowhere.pth", HOST)
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors is no face embedder that Visage knows"):
        load_embedder(tmp_path / "other.safetensors", HOST)
    onnx_file(tmp_path / "unknown.onnx", last="PRelu")
    with pytest.raises(WeightsError, match="operations that are not read: PRelu"):
        load_embedder(tmp_path / "unknown.onnx", HOST)
    onnx_file(tmp_path / "map.onnx", last="Relu")
    with pytest.raises(WeightsError, match="gives no vector for a face"):
        load_embedder(tmp_path / "map.onnx", HOST)
    assert read_graph(tmp_path / "map.onnx").nodes[1].operation == "Relu"
    with pytest.raises(WeightsError, match="empty"):
        empty = tmp_path / "empty.pth"
        empty.write_bytes(b"")
        load_embedder(empty, HOST)


def test_a_graph_without_operations_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.onnx").write_bytes(field(7, tensor("weights", torch.zeros(2))))
    with pytest.raises(WeightsError, match=r"none\.onnx"):
        load_embedder(tmp_path / "none.onnx", HOST)
    assert OnnxNetwork(Graph())._nodes == []


def test_other_networks_are_refused(data: Path) -> None:
    for name in ("face_detection_yunet_2023mar.onnx", "yolov8n-face.pt", "realesr-general-x4v3.pth"):
        with pytest.raises(WeightsError, match=name):
            load_embedder(data / "weights" / name, HOST)


def test_the_files_are_in_the_catalogue() -> None:
    for name in ("recognition_arcface_ir_se50.pth", "MobileFaceNet.onnx"):
        known = by_file_name(name)
        assert known is not None
        assert known.kind == "embedder"
        assert known.sha256 is not None

"""Detection networks, and the one function that finds out what a file holds."""

from __future__ import annotations

from pathlib import Path

from ..file_format import file_format
from ..host import Host
from ..weights import Weights, WeightsError, check_content, read_weights
from .detector import Detector
from .mtcnn import MtcnnProposer
from .mtcnn_files import mtcnn_tensors
from .proposer import Proposer
from .retinaface import RetinaFaceProposer, retinaface_backbone
from .settings import DetectionSettings
from .visage_proposer import VisageProposer, is_visage
from .yolo import YoloProposer
from .yolo_files import asks_for_ultralytics, is_yolo_metadata, read_yolo_pickle, yolo_from_safetensors
from .yunet import YuNetProposer, is_yunet

__all__ = ["DetectionSettings", "Detector", "load_detector"]

_KNOWN = (
    "YOLO (ultralytics, version 8 or newer), RetinaFace (facexlib), YuNet (ONNX), MTCNN (facenet-pytorch) and "
    "visage-detect"
)


def load_detector(path: Path, host: Host) -> Detector:
    """The detector in a file, whatever the file is called.

    Args:
        path: ultralytics YOLO (``.pt``, or safetensors from ``visage models convert``), facexlib's RetinaFace (pickle
            or safetensors), YuNet (ONNX), facenet-pytorch's MTCNN (any of its three files, see :mod:`.mtcnn_files`) or
            visage-detect (safetensors).
        host: gets the network to look after.

    Raises:
        WeightsError: there is no such file, or it is empty, cut short, hostile or of another kind of network.
    """
    if not path.is_file():
        raise WeightsError(f"There is no detector file {path}. Check the name, or get one with `visage models get`.")
    return Detector(_proposer(path, host), host)


def _proposer(path: Path, host: Host) -> Proposer:
    form = file_format(path)
    if form == "safetensors":
        weights = read_weights(path)
        if is_yolo_metadata(weights.metadata):
            return YoloProposer(path.name, yolo_from_safetensors(weights), host)
        return _from_tensors(weights, host)
    if form == "onnx":
        check_content(path)
        if is_yunet(path.read_bytes()):
            return YuNetProposer(path)
        raise _unknown(path)
    if asks_for_ultralytics(path):
        return YoloProposer(path.name, read_yolo_pickle(path), host)
    return _from_tensors(read_weights(path), host)


def _from_tensors(weights: Weights, host: Host) -> Proposer:
    backbone = retinaface_backbone(weights.tensors)
    if backbone is not None:
        return RetinaFaceProposer(weights.path.name, backbone, weights.tensors, host)
    if is_visage(weights.tensors):
        return VisageProposer(weights.path.name, weights.tensors, host)
    mtcnn = mtcnn_tensors(weights)
    if mtcnn is not None:
        return MtcnnProposer(weights.path.name, mtcnn, host)
    raise _unknown(weights.path)


def _unknown(path: Path) -> WeightsError:
    return WeightsError(f"{path.name} is no face detector that Visage knows. It reads {_KNOWN}.")

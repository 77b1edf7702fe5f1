"""The nodes that load models."""

from __future__ import annotations

from functools import partial
from typing import get_args

from comfy_api.latest import io

from ..models.detectors import load_detector
from ..models.embedders import load_embedder
from ..models.inference import Precision
from ..models.parsers import load_parser
from ..models.restorers import load_restorer
from . import folders
from .host import ComfyHost
from .types import DetectorSocket, EmbedderSocket, LoadedModel, ParserSocket, RestorerSocket


class LoadFaceDetector(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceDetector",
            display_name="Load Face Detector",
            category="Visage/loaders",
            description="Loads a network that finds faces: YOLO (ultralytics), RetinaFace (facexlib), YuNet or MTCNN.",
            search_aliases=[
                "face detector loader",
                "ultralytics detector",
                "yolo",
                "retinaface",
                "yunet",
                "mtcnn",
                "adetailer",
                "facedetailer",
                "bbox detector",
            ],
            inputs=[_model_input(folders.DETECTORS)],
            outputs=[DetectorSocket.Output("detector", tooltip="For Detect Faces, or straight into Restore Faces.")],
        )

    @classmethod
    def validate_inputs(cls, model_name: str | None = "") -> bool | str:
        return _is_there(folders.DETECTORS, model_name)

    @classmethod
    def execute(cls, model_name: str) -> io.NodeOutput:
        host = ComfyHost()
        return io.NodeOutput(LoadedModel(load_detector(folders.path_of(folders.DETECTORS, model_name), host), host))


class LoadFaceRestorer(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceRestorer",
            display_name="Load Face Restorer",
            category="Visage/loaders",
            description=(
                "Loads a network that makes faces sharp and whole again: GFPGAN, CodeFormer, RestoreFormer, VQFR, "
                "GPEN, HiFaceGAN, ELIR, or an upscaler of the Real-ESRGAN kind."
            ),
            search_aliases=[
                "face restore model loader",
                "gfpgan",
                "codeformer",
                "restoreformer",
                "vqfr",
                "gpen",
                "hifacegan",
                "elir",
                "facerestore",
                "reactor",
                "face fix",
            ],
            inputs=[
                _model_input(folders.RESTORERS),
                _precision_input(
                    " and is offered only for networks in which it was measured to be accurate; CodeFormer and "
                    "RestoreFormer need fp32."
                ),
            ],
            outputs=[RestorerSocket.Output("restorer", tooltip="For Restore Faces.")],
        )

    @classmethod
    def validate_inputs(cls, model_name: str | None = "") -> bool | str:
        return _is_there(folders.RESTORERS, model_name)

    @classmethod
    def execute(cls, model_name: str, precision: Precision) -> io.NodeOutput:
        host = ComfyHost()
        path = folders.path_of(folders.RESTORERS, model_name)
        return io.NodeOutput(LoadedModel(load_restorer(path, host, precision), host))


class LoadFaceParser(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceParser",
            display_name="Load Face Parser",
            category="Visage/loaders",
            description=(
                "Loads a network that segments a face into skin, hair, eyes, lips and so on: BiSeNet or ParseNet."
            ),
            search_aliases=["face parser loader", "face parsing", "face segmentation", "bisenet", "parsenet"],
            inputs=[
                _model_input(folders.PARSERS),
                _precision_input("; ParseNet loses too much in it and needs fp32."),
            ],
            outputs=[ParserSocket.Output("parser", tooltip="For Face Regions, and for the mask shape parse.")],
        )

    @classmethod
    def validate_inputs(cls, model_name: str | None = "") -> bool | str:
        return _is_there(folders.PARSERS, model_name)

    @classmethod
    def execute(cls, model_name: str, precision: Precision) -> io.NodeOutput:
        host = ComfyHost()
        path = folders.path_of(folders.PARSERS, model_name)
        return io.NodeOutput(LoadedModel(load_parser(path, host, precision), host))


class LoadFaceEmbedder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceEmbedder",
            display_name="Load Face Embedder",
            category="Visage/loaders",
            description="Loads a network that measures how alike two faces are: ArcFace or MobileFaceNet.",
            search_aliases=["arcface", "mobilefacenet", "face recognition", "face similarity", "face id", "identity"],
            inputs=[_model_input(folders.EMBEDDERS)],
            outputs=[EmbedderSocket.Output("embedder", tooltip="For Face Report.")],
        )

    @classmethod
    def validate_inputs(cls, model_name: str | None = "") -> bool | str:
        return _is_there(folders.EMBEDDERS, model_name)

    @classmethod
    def execute(cls, model_name: str) -> io.NodeOutput:
        host = ComfyHost()
        return io.NodeOutput(LoadedModel(load_embedder(folders.path_of(folders.EMBEDDERS, model_name), host), host))


def _model_input(models: folders.ModelFolders) -> io.Combo.Input:
    return io.Combo.Input(
        "model_name", options=folders.names(models), default=folders.default(models), tooltip=folders.tooltip(models)
    )


def _precision_input(limits: str) -> io.Combo.Input:
    """
    Args:
        limits: which networks bf16 is not for, after "bf16 halves the memory".
    """
    return io.Combo.Input(
        "precision",
        options=list(get_args(Precision)),
        default="fp32",
        tooltip=(
            "fp32 is the most accurate (its convolutions run in TF32 on NVIDIA GPUs from RTX 30 on, as in all of "
            f"ComfyUI). bf16 halves the memory{limits}"
        ),
        advanced=True,
    )


def _is_there(models: folders.ModelFolders, name: str | None) -> bool | str:
    return folders.is_there(partial(folders.path_of, models), name)

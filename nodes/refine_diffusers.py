"""The nodes that repaint faces with a diffusers model, apart from the graph's own."""

from __future__ import annotations

from typing import Any

import comfy.model_management
from comfy_api.latest import io
from torch import Tensor

from ..models.refiners.diffusers_engine import (
    AUTO,
    AUTO_TEXT,
    PRECISIONS,
    SAMPLERS,
    SCHEDULES,
    ChosenPrecision,
    load_inpainter,
    precision_on,
)
from . import folders, inpainters, wildcards
from .host import ComfyHost
from .node_ui import compare_input
from .refine_common import refining_inputs, refining_lazy_status, refining_outputs, run_refining
from .types import InpainterSocket, LoadedModel


class LoadDiffusersInpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        found = inpainters.names()
        return io.Schema(
            node_id="VisageLoadDiffusersInpaint",
            display_name="Load Diffusers Inpaint",
            category="Visage/loaders",
            description="Loads a Stable Diffusion 1.5 or SDXL model, made for inpainting or not, that repaints faces.",
            search_aliases=[
                "diffusers loader",
                "inpaint model loader",
                "stable diffusion inpainting",
                "sdxl inpainting",
            ],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=found,
                    default=found[0] if found else None,
                    tooltip=f"A folder in diffusers format or a safetensors file. {inpainters.ADVICE}",
                ),
                io.Combo.Input(
                    "precision",
                    options=list(PRECISIONS),
                    default=AUTO,
                    tooltip=(
                        f"{AUTO_TEXT}. The VAE stays in fp32 where less is known to overflow. bf16 needs as little "
                        "memory as fp16."
                    ),
                    advanced=True,
                ),
            ],
            outputs=[InpainterSocket.Output("inpainter", tooltip="For Refine Faces (Diffusers).")],
        )

    @classmethod
    def validate_inputs(cls, model_name: str | None = "") -> bool | str:
        return folders.is_there(inpainters.path_of, model_name)

    @classmethod
    def execute(cls, model_name: str, precision: ChosenPrecision) -> io.NodeOutput:
        host = ComfyHost()
        path, tokenizer = inpainters.path_of(model_name), inpainters.tokenizer()
        held = precision_on(comfy.model_management.get_torch_device(), precision)
        return io.NodeOutput(LoadedModel(load_inpainter(path, host, held, spare_tokenizer=tokenizer), host))


class RefineFacesDiffusers(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageRefineFacesDiffusers",
            display_name="Refine Faces (Diffusers)",
            category="Visage",
            description=(
                "Inpaints every face with a model from Load Diffusers Inpaint, at a resolution at which it can draw "
                "one, and puts it back. Pixels outside the faces stay as they are, bit for bit."
            ),
            search_aliases=["adetailer", "facedetailer", "detailer", "face fix", "diffusers inpaint", "inpaint faces"],
            has_intermediate_output=True,
            inputs=[
                io.Image.Input("image", lazy=True, tooltip="One image or a batch. Alpha is kept."),
                InpainterSocket.Input("inpainter", lazy=True, tooltip="From Load Diffusers Inpaint."),
                *refining_inputs({"sampler": list(SAMPLERS), "scheduler": list(SCHEDULES)}),
                compare_input(),
            ],
            outputs=refining_outputs(),
        )

    @classmethod
    def fingerprint_inputs(
        cls, prompt: str | None = "", negative_prompt: str | None = "", **inputs: Any
    ) -> wildcards.Files:
        return wildcards.fingerprint(prompt, negative_prompt)

    @classmethod
    def check_lazy_status(cls, **inputs: Any) -> list[str]:
        return refining_lazy_status(inputs, ["inpainter", "restorer"])

    @classmethod
    def execute(cls, image: Tensor, **inputs: Any) -> io.NodeOutput:
        return run_refining(cls, image, inputs, lambda: inputs["inpainter"].network, base="")

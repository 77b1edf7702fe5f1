"""The node that repaints faces with the graph's own diffusion model."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from . import wildcards
from .node_ui import compare_input
from .refine_common import refining_inputs, refining_lazy_status, refining_outputs, run_refining
from .refining import ComfyRefiner, sampler_names, scheduler_names

_GUIDING = ("model", "positive", "negative")


class RefineFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageRefineFaces",
            display_name="Refine Faces",
            category="Visage",
            description=(
                "Inpaints every face with the diffusion model, at a resolution at which it can draw one, and puts it "
                "back. "
                "Pixels outside the faces stay as they are, bit for bit."
            ),
            search_aliases=[
                "adetailer",
                "after detailer",
                "facedetailer",
                "face detailer",
                "detailer",
                "face fix",
                "fix faces",
                "inpaint faces",
            ],
            has_intermediate_output=True,
            inputs=[
                io.Image.Input("image", lazy=True, tooltip="One image or a batch. Alpha is kept."),
                io.Model.Input(
                    "model",
                    optional=True,
                    lazy=True,
                    tooltip="Any diffusion model that ComfyUI samples. Needed unless a guider is connected.",
                ),
                io.Vae.Input("vae", lazy=True, tooltip="The VAE of the model."),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    lazy=True,
                    tooltip=(
                        "The prompt for faces where the text in prompt is empty. Needed unless a guider is connected."
                    ),
                ),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    lazy=True,
                    tooltip=(
                        "The negative prompt where the text in negative_prompt is empty. Needed unless a guider is "
                        "connected."
                    ),
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    lazy=True,
                    tooltip="Encodes the texts in prompt and negative_prompt. Needed only if there is one.",
                ),
                *refining_inputs({"sampler": sampler_names(), "scheduler": scheduler_names()}),
                io.Guider.Input(
                    "guider",
                    optional=True,
                    lazy=True,
                    tooltip=(
                        "From Basic Guider or Dual CFG Guider, for example: used instead of model, positive, negative "
                        "and cfg. A text still replaces its positive or negative prompt."
                    ),
                ),
                io.Sampler.Input("sampler_object", optional=True, lazy=True, tooltip="Used instead of sampler."),
                io.Sigmas.Input(
                    "sigmas", optional=True, lazy=True, tooltip="Used instead of steps, scheduler and denoise."
                ),
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
        names = ["vae", "restorer", "guider", "sampler_object", "sigmas"]
        if "guider" not in inputs:
            # Not said in validate_inputs, which can only blame inputs that are there.
            if lacking := [name for name in _GUIDING if name not in inputs]:
                raise ValueError(
                    f"It needs model, positive and negative, or a guider instead of them: connect {', '.join(lacking)}."
                )
            names += _GUIDING
        if inputs["prompt"].strip() or inputs["negative_prompt"].strip():
            names += ["clip"]
        return refining_lazy_status(inputs, names)

    @classmethod
    def execute(cls, image: Tensor, **inputs: Any) -> io.NodeOutput:
        return run_refining(
            cls,
            image,
            inputs,
            lambda: ComfyRefiner(
                vae=inputs["vae"],
                model=inputs.get("model"),
                positive=inputs.get("positive", []),
                negative=inputs.get("negative", []),
                clip=inputs.get("clip"),
                guider=inputs.get("guider"),
                sampler=inputs.get("sampler_object"),
                sigmas=inputs.get("sigmas"),
            ),
        )

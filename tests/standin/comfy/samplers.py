"""A stand-in: some of the names. What samples is tested on a real ComfyUI."""

from __future__ import annotations


class KSampler:
    SAMPLERS = ("euler", "dpmpp_2m")
    SCHEDULERS = ("normal", "karras")

"""A stand-in for ComfyUI's package of this name. See the README beside it."""

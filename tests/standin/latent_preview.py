"""A stand-in: it shows nothing. What samples is tested on a real ComfyUI."""

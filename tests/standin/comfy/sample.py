"""A stand-in: it cannot sample. What samples is tested on a real ComfyUI."""

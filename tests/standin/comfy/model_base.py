"""A stand-in: there are no models to sample. What samples is tested on a real ComfyUI."""

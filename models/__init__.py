"""The networks: detectors, restorers, the catalogue of known weights, safe loading. Nothing here knows ComfyUI."""

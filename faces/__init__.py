"""The domain: faces, alignment, crops, masks, colour and paste.

Pure functions on tensors and plain numbers. Nothing here knows a network, a file or ComfyUI.

Coordinates, everywhere in Visage: ``x`` grows to the right, ``y`` downwards, and the *centre* of the top left
pixel is ``(0, 0)``, as in OpenCV. Resizing by ``s`` therefore maps ``x`` to ``(x + 0.5) * s - 0.5``.

Images inside this package are float32 ``[..., C, H, W]``, RGB, 0..1; frames on sockets are ``[B, H, W, C]``.
"""

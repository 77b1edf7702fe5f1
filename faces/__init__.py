"""The domain: faces, alignment, crops, masks, colour and paste.

Pure functions on tensors and plain numbers. Nothing here knows a network, a file or ComfyUI.

Coordinates, everywhere in Visage: ``x`` grows to the right, ``y`` downwards, and the *centre* of the top left
pixel is ``(0, 0)``, as in OpenCV. Resizing by ``s`` therefore maps ``x`` to ``(x + 0.5) * s - 0.5``.

Pixels are RGB, 0..1, and lie as on sockets unless a function says otherwise: frames are ``[B, H, W, C]``, crops
``[N, S, S, 3]``, their masks ``[N, S, S]``.
"""

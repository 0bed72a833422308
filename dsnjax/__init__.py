"""Deep Sketch Network: drawings made of strokes in, the name of what is drawn out."""

__version__ = "0.1.0"

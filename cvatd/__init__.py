"""From image to model on one host: annotate in CVAT, review, train YOLO, run the model on video."""

__version__ = "0.1.0"

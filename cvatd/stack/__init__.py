"""CVAT's containers: declared once as data, started, watched, explained."""

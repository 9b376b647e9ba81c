"""The trainer: a process of its own, in a Python of its own, with torch and Ultralytics and nothing of the daemon.

What it is told stands in spec.json, what it does in events.jsonl. It uses the standard library alone besides them.
"""

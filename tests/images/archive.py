"""Images as one archive that `podman load` reads; images share the layers that they have in common."""

import hashlib
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.images.rootfs import Layer


@dataclass(frozen=True)
class Image:
    """`config` is the image's own: Entrypoint, Cmd, Env, User, WorkingDir, StopSignal, ..."""

    tags: list[str]
    layers: list[Layer]
    config: dict[str, Any] = field(default_factory=dict)


def write(images: list[Image], folder: Path) -> Path:
    """The archive, in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes: dict[int, str] = {}
    target = folder / "images.tar"
    manifest = []
    with tarfile.open(target, "w") as tar:
        for image in images:
            for layer in image.layers:
                if id(layer) not in hashes:
                    part = folder / "layer.tar"
                    hashes[id(layer)] = layer.write(part)
                    tar.add(part, f"{hashes[id(layer)]}.tar")
                    part.unlink()
            names = [hashes[id(layer)] for layer in image.layers]
            config = folder / "config.json"
            config.write_text(
                json.dumps(
                    {
                        "architecture": "amd64",
                        "os": "linux",
                        "config": image.config,
                        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{name}" for name in names]},
                        "history": [{"created_by": "tests/images"}] * len(names),
                    },
                    sort_keys=True,
                )
            )
            digest = hashlib.sha256(config.read_bytes()).hexdigest()
            tar.add(config, f"{digest}.json")
            manifest.append(
                {"Config": f"{digest}.json", "RepoTags": image.tags, "Layers": [f"{name}.tar" for name in names]}
            )
        content = folder / "manifest.json"
        content.write_text(json.dumps(manifest))
        tar.add(content, "manifest.json")
    return target

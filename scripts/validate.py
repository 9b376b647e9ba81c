"""Load weights and measure mAP50 on the val images of a zip. Run by the trainer's Python: WEIGHTS ZIP IMAGE_SIZE_PX."""

import json
import sys
import tempfile
import zipfile
from pathlib import Path


def main(weights: str, archive: str, image_size_px: str) -> None:
    from ultralytics import YOLO

    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(archive).extractall(folder)  # our own zip
        data = Path(folder, "data.yaml")
        data.write_text(json.dumps({"path": folder, "train": "images/train", "val": "images/val", "names": ["0", "1"]}))
        found = YOLO(weights).val(
            data=str(data),
            imgsz=int(image_size_px),
            plots=False,
            verbose=False,
            project=folder,
            workers=0,
            device="cpu",
        )
        print(json.dumps({"map50": float(found.box.map50)}))


if __name__ == "__main__":
    main(*sys.argv[1:])

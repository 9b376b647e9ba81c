"""The yardstick: the same training by a bare Ultralytics script. Run by the trainer's Python: ORDERS_JSON FOLDER.

Prints the moment of the first step (Unix seconds).
"""

import json
import sys
import time


def main(orders: str, folder: str) -> None:
    from ultralytics import YOLO

    args = json.loads(orders)
    model = YOLO(args.pop("model"))
    told: list[float] = []
    model.add_callback(
        "on_train_batch_end", lambda _: told or (told.append(time.time()), print(f"first-step={told[0]}", flush=True))
    )
    model.train(**args, project=folder, name="out", exist_ok=True, device="cpu", verbose=False)


if __name__ == "__main__":
    main(*sys.argv[1:])

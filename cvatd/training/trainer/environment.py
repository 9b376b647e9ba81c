"""Makes Ultralytics keep to itself: no network, no telemetry, no packages installed while it runs.

Called before the first import of ultralytics. The variables (YOLO_OFFLINE and the like) are set by who starts us.
"""

import importlib.util
import os
import shutil
from pathlib import Path


def provide_font() -> None:
    """Ultralytics asks the network for Arial.ttf at each training, even offline, unless one lies in its folder."""
    folder = Path(os.environ["YOLO_CONFIG_DIR"]) / "Ultralytics"
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib is None or matplotlib.origin is None:
        return
    source = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Arial.ttf", "Arial.Unicode.ttf"):
        if not (folder / name).exists():
            temporary = folder / f".{name}.{os.getpid()}"
            shutil.copyfile(source, temporary)
            temporary.rename(folder / name)


def switch_integrations_off() -> None:
    """Trackers act by themselves where their package is installed; none of them was asked for."""
    from ultralytics import settings

    names = ("sync", "clearml", "comet", "dvc", "hub", "mlflow", "neptune", "raytune", "tensorboard", "wandb")
    wrong = {name: False for name in names if settings.get(name)}
    if wrong:
        settings.update(wrong)

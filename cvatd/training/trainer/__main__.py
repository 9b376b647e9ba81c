"""Entry: `<python> <this file> describe CONFIG_DIR` or `train RUN_DIR`."""

import os
import sys
from pathlib import Path

# Found by path, not installed: the trainer's Python has its own packages, and they come first.
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]
sys.path.append(str(Path(__file__).resolve().parents[3]))


def main() -> None:
    verb, folder = sys.argv[1], Path(sys.argv[2])
    if verb == "describe":
        from cvatd.training.trainer.describe import describe

        describe()
        status = 0
    else:
        from cvatd.training.trainer.train import train

        status = train(folder)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # tearing torch down takes more than a second, and nothing is left to be saved


if __name__ == "__main__":
    main()

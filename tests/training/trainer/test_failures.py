import pytest

from cvatd.training.trainer.failures import WeightsUnusable, explain


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (OSError(28, "No space left on device"), "disk_full"),
        (RuntimeError("Training failed: NaN persisted for 4 epochs"), "nan_loss"),
        (RuntimeError("Checkpoint last.pt is corrupted with NaN/Inf weights"), "nan_loss"),
        (SyntaxError("'foo' is not a valid YOLO argument."), "bad_argument"),
        (NotImplementedError("Optimizer 'None' not found in list of available optimizers"), "bad_argument"),
        (ValueError("Invalid CUDA 'device=0' requested."), "bad_argument"),
        (TypeError("'box=[1]' is of invalid type list."), "bad_argument"),
        (RuntimeError("Dataset 'data.yaml' error ❌ 'val:' key missing"), "dataset"),
        (FileNotFoundError("Error loading data from \x1b[34m/x\x1b[0m\nSee the dataset guide"), "dataset"),
        (ValueError("No labels found in /x/train.cache"), "dataset"),
        (TypeError("x.pt is not a loadable checkpoint"), "weights"),
        (WeightsUnusable("x.pt: invalid load key"), "weights"),
        (ConnectionError("Download failure for https://x"), "weights"),
        (ZeroDivisionError("division by zero"), "trainer_error"),
    ],
)
def test_each_failure_has_its_code_and_readable_words(error: Exception, code: str) -> None:
    found, words = explain(error)
    assert found == code
    assert words
    assert "\x1b" not in words

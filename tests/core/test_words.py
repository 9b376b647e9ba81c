"""Sizes as people say them."""

import pytest

from cvatd.core.words import size


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (12_345_678, "12 MB"),
        (1_400_000_000, "1.4 GB"),
        (5 * 10**12, "5.0 TB"),
        (10**16, "10000 TB"),
    ],
)
def test_size(count: int, words: str) -> None:
    assert size(count) == words

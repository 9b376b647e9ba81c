"""Keys and signed links."""

import time
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.secrets import check_signed_path, load_or_make_key, sign_path


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "key"
    key = load_or_make_key(file)
    assert load_or_make_key(file) == key
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_bad_key_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("hunter2")
    with pytest.raises(CvatdError, match="whsec_"):
        load_or_make_key(file)


def test_a_link_opens_one_path_until_it_expires() -> None:
    soon = int(time.time()) + 60
    signature = sign_path("k", "/a", soon)
    assert check_signed_path("k", "/a", str(soon), signature)
    assert not check_signed_path("k", "/b", str(soon), signature)
    assert not check_signed_path("k", "/a", str(soon + 1), signature)
    assert not check_signed_path("other", "/a", str(soon), signature)
    past = int(time.time()) - 1
    assert not check_signed_path("k", "/a", str(past), sign_path("k", "/a", past))
    assert not check_signed_path("k", "/a", "²", "")

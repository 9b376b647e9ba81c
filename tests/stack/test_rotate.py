"""What the database is told of a new password, and what is left of a change that was interrupted."""

import base64
import hashlib
import hmac
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import layout, rotate, secret_files
from cvatd.stack.rotate import django, scram_verifier

# These numbers belong to containers: only root may give files away.
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="ownership is given by root")


def test_the_verifier_is_that_of_rfc_7677() -> None:
    """The exchange of the RFC's example: user, password `pencil`, its salt and iterations."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = scram_verifier("pencil", salt)
    scheme, iterations_and_salt, keys = verifier.split("$")
    stored, server = (base64.b64decode(part) for part in keys.split(":"))
    assert scheme == "SCRAM-SHA-256"
    assert iterations_and_salt == "4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    exchange = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(stored, exchange, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored
    assert base64.b64encode(hmac.digest(server, exchange, "sha256")) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_key_where_nothing_was_made_yet_is_refused_in_words(tmp_path: Path) -> None:
    runner = SimpleNamespace(settings=StackSettings(data_dir=tmp_path / "cvat"))
    with pytest.raises(CvatdError, match="keys yet: `cvatd up` makes it"):
        django(runner, lambda *_: None)  # type: ignore[arg-type]
    assert not (tmp_path / "cvat").exists()


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (
            "echo 'ERROR:  permission denied' >&2; exit 3",
            r"did not take .*: ERROR:  permission denied\. The old one is",
        ),
        ("echo 'psql: not found' >&2; exit 127", "psql: not found. The old one is in force"),
        (
            "echo 'connection to server was lost' >&2; exit 2",
            "could not be seen: connection to server was lost. Do the",
        ),
        ("echo 'Error: can only x: container state improper' >&2; exit 255", "improper. The old one is in force"),
        ("echo 'Error: unexpected EOF.' >&2; exit 125", r"could not be seen: Error: unexpected EOF\. Do the same"),
        ("exit 137", "could not be seen: status 137 and no word"),
        ("exec sleep 60", "could not be seen: it said nothing for"),
    ],
)
def test_only_what_was_refused_leaves_the_old_one_in_force_for_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, said: str
) -> None:
    """Podman and psql may end after PostgreSQL took it."""
    podman = tmp_path / "podman"
    podman.write_text(f"#!/bin/sh\n{ends}\n")
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(rotate, "PSQL_TIMEOUT_S", 0.5 if "sleep" in ends else 30)
    with pytest.raises(CvatdError, match=said) as refused:
        rotate._set_role_password("unix:///nowhere", "pencil")
    assert refused.value.code == "rotate"
    assert "pencil" not in refused.value.message


def test_the_verifier_does_not_hold_the_password() -> None:
    assert "pencil" not in scram_verifier("pencil", b"1" * 16)
    assert scram_verifier("pencil", b"1" * 16) != scram_verifier("pencil", b"2" * 16)


@needs_root
@pytest.mark.parametrize("name", [secret_files.POSTGRES, secret_files.SUPERUSER])
def test_a_change_keeps_its_new_value_until_it_is_accepted(tmp_path: Path, name: str) -> None:
    settings = StackSettings(data_dir=tmp_path / "cvat")
    layout.ensure(settings)
    secret_files.ensure(settings)
    old = secret_files.read(settings, name)
    new = secret_files.propose(settings, name)
    assert secret_files.propose(settings, name) == new
    assert secret_files.read(settings, name) == old
    assert secret_files.is_changing(settings, name)
    secret_files.accept(settings, name)
    assert secret_files.read(settings, name) == new != old
    assert not secret_files.is_changing(settings, name)
    status = secret_files.path(settings, name).stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1000, 1000, 0o400)

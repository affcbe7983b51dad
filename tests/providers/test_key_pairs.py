from __future__ import annotations

import stat
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.user_cache import write_private
from pytest_fargate_sandbox.providers.ssh.key_pairs import KeyPair, parse_key_pair
from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
from tests.fresh_keys import fresh_key_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_each_pair_is_another_one() -> None:
    assert fresh_key_pair().public != fresh_key_pair().public


def test_a_fresh_pair_is_openssh_text() -> None:
    pair = fresh_key_pair()
    assert pair.private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert pair.private.endswith("-----END OPENSSH PRIVATE KEY-----\n")
    assert pair.public.startswith("ssh-ed25519 AAAA")
    assert "\n" not in pair.public


def test_its_repr_does_not_show_the_private_key() -> None:
    pair = fresh_key_pair()
    assert "PRIVATE" not in repr(pair)
    assert pair.private.splitlines()[1] not in repr(pair)


@pytest.mark.needs("ssh-keygen")
def test_a_written_key_is_readable_by_its_owner_alone_and_fits_openssh(tmp_path: Path) -> None:
    pair = fresh_key_pair()
    file = tmp_path / "id"
    write_private(file, pair.private)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    derived = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], check=True, capture_output=True, text=True).stdout
    assert derived.split()[:2] == pair.public.split()[:2]


def test_a_pair_is_parsed_from_its_private_text() -> None:
    pair = fresh_key_pair()
    assert parse_key_pair("\n  " + pair.private + "\n\n").public == pair.public


@pytest.mark.parametrize(
    ("generate", "kind"),
    [
        (partial(rsa.generate_private_key, 65537, 2048), "ssh-rsa"),
        (partial(ec.generate_private_key, ec.SECP256R1()), "ecdsa-sha2-"),
    ],
    ids=["rsa", "ecdsa"],
)
def test_a_pem_key_from_elsewhere_will_do(
    generate: Callable[[], rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey], kind: str
) -> None:
    text = (
        generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )
    pair = parse_key_pair(text)
    assert isinstance(pair, KeyPair)
    assert pair.public.startswith(kind)


def test_a_text_that_is_no_key_is_a_config_error_that_says_where_it_is_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="private_key: not a usable SSH private key"):
        parse_key_pair("hello")
    (tmp_path / "id").write_text("hello")
    with pytest.raises(ConfigError, match=f"key_file='{tmp_path}/id': not a usable SSH private key"):
        SshTunnel(host="127.0.0.1", key_file=tmp_path / "id")


def test_a_key_with_a_passphrase_is_a_config_error() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.BestAvailableEncryption(b"x")
    ).decode()
    with pytest.raises(ConfigError, match="passphrase"):
        parse_key_pair(text)

"""A sandbox is sent the certificates by which it knows S3, and no more than it needs."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.providers.aws.aws import Aws
from pytest_fargate_sandbox.providers.aws.trusted_roots import trusted_roots

if TYPE_CHECKING:
    from pathlib import Path

S3 = "https://bucket.s3.eu-west-1.amazonaws.com/key?X-Amz-Signature=x"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    return Aws(region="eu-west-1", endpoint_url=None, credentials=None)


def test_amazons_own_roots_are_enough_for_aws(aws: Aws) -> None:
    roots = trusted_roots(aws, S3)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=roots)
    names = {dict(part for parts in each["subject"] for part in parts)["commonName"] for each in context.get_ca_certs()}
    starfields = "Starfield Services Root Certificate Authority - G2"
    assert names == {*(f"Amazon Root CA {number}" for number in (1, 2, 3, 4)), starfields}
    assert len(roots) < 8 * 1024


def test_another_address_may_be_of_any_ca_and_one_without_tls_of_none(aws: Aws) -> None:
    for url in ("https://store.example/key", "https://amazonaws.com.example/key"):
        assert trusted_roots(aws, url).count("BEGIN CERTIFICATE") > 50
    assert trusted_roots(aws, "http://127.0.0.1:1/key") == ""


def test_who_has_named_certificates_has_named_those(aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("mine")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    assert trusted_roots(aws, S3) == "mine"

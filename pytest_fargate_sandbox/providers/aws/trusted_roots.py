"""The certificates by which a sandbox knows S3: its image may have none, or none that are up to date.

They travel with the request to fetch, so they are few: those of Amazon's own roots, which all of AWS's services show
(https://www.amazontrust.com/repository/). For any other address, or with AWS_CA_BUNDLE, it is the whole bundle.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.aws.aws import Aws

_OF_AWS = re.compile(r".+\.(amazonaws\.com|api\.aws|amazonaws\.eu)")
_AMAZONS_NAMES = re.compile(rb"Amazon Root CA \d|Starfield Services Root Certificate Authority - G2")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def trusted_roots(aws: Aws, url: str) -> str:
    """In PEM, what to believe who answers at ``url``; nothing where nobody shows a certificate."""
    address = urlsplit(url)
    if address.scheme != "https":
        return ""
    if aws.ca_bundle:
        return Path(aws.ca_bundle).read_text()
    return _amazons_roots() if _OF_AWS.fullmatch(address.hostname or "") else _all_roots()


def _all_roots() -> str:
    """What botocore itself goes by."""
    from botocore.httpsession import get_cert_path

    return Path(str(get_cert_path(True))).read_text()


@functools.cache
def _amazons_roots() -> str:
    import ssl

    found = [each + "\n" for each in _CERTIFICATE.findall(_all_roots())]
    return "".join(each for each in found if _AMAZONS_NAMES.search(ssl.PEM_cert_to_DER_cert(each)))

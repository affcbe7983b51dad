"""At DEBUG botocore logs what it sends and gets, and pytest puts that into reports: in a task's environment stands its
host key, in a secret's value a key to all tasks, in STS's answers the keys of a role, in the Session Manager's who may
speak in a session, and a signature of S3's, with what it is of, is as good as its presigned URL.
"""

from __future__ import annotations

import logging
import re

_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.*?-----END (?:[A-Z]+ )*PRIVATE KEY-----", re.DOTALL)
_SECRETS = "|".join(
    (
        "SecretAccessKey",
        "SessionToken",
        "TokenValue",
        "SecretString",
        "AuthorizationToken",  # ECR's
        *("AccessToken", "RefreshToken", "IdToken", "ClientSecret"),  # IAM Identity Center's
        *("X-Amz-Security-Token", "X-Amz-Sso_Bearer_Token"),
    )
)
_SECRET = re.compile(
    rf"""((?:{_SECRETS})["']?:\s*b?)(?:"(?:\\+"|[^"])*"|'[^']*'|[^\s"',]+)|(<(?:{_SECRETS})>)[^<]*|^(Signature:\n)\S+""",
    re.IGNORECASE | re.MULTILINE,
)
"""In JSON, in the headers of a request and what is signed of them, and in XML. Quotes in it are quoted twice."""
_LOGGERS = ("botocore.auth", "botocore.endpoint", "botocore.parsers")


class _WithoutKeys(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        told = _SECRET.sub(_hidden, _KEY.sub("(a private key)", said))
        if told != said:
            record.msg, record.args = told, ()
        return True


def _hidden(found: re.Match[str]) -> str:
    return f"{next(filter(None, found.groups()))}(a secret)"


_WITHOUT_KEYS = _WithoutKeys()


def keep_keys_out_of_logs() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_WITHOUT_KEYS)

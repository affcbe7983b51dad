"""At DEBUG botocore logs what it sends and gets, and pytest puts that into reports: in a task's environment stands its
host key, in a secret's value a key to all tasks.
"""

from __future__ import annotations

import logging
import re

_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.*?-----END (?:[A-Z]+ )*PRIVATE KEY-----", re.DOTALL)
_LOGGERS = ("botocore.endpoint", "botocore.parsers")


class _WithoutKeys(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if _KEY.search(said):
            record.msg, record.args = _KEY.sub("(a private key)", said), ()
        return True


_WITHOUT_KEYS = _WithoutKeys()


def keep_keys_out_of_logs() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_WITHOUT_KEYS)

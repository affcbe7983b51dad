"""What the sandbox puts somewhere itself: out of it, where the way to its client carries little.

The URL is presigned, so it is a secret for as long as it lives: no message repeats it.
"""

import hashlib
import tempfile

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files import directory_trees, single_files
from pytest_fargate_sandbox.server.files.fetching import http_exceptions, parsed, trusting
from pytest_fargate_sandbox.server.files.file_user import as_user
from pytest_fargate_sandbox.server.files.push_protocol import Push, Pushed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, Callable

    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs

_SILENCE_SEC = 30.0


def requests(_verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    return [(Push, as_user(_answer))]


def _answer(exchange: "Exchange", request: Push) -> None:
    exchange.answer(_push(request))


def _push(request: Push) -> Pushed:
    """S3 wants to know the size before the first byte, and a tar's is known behind the last."""
    read = directory_trees.read if request.tree else single_files.read
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(request.at_least) as spool:
        for block in read(request.path):
            digest.update(block)
            spool.write(block)
        size = spool.tell()
        if size < request.at_least:
            return Pushed(size=0, sha256="")
        spool.seek(0)
        _put(request, spool, size)
    return Pushed(size=size, sha256=digest.hexdigest())


def _put(request: Push, content: "IO[bytes]", size: int) -> None:
    import urllib.request

    address = parsed("push", request.url)
    wanted = urllib.request.Request(request.url, data=content, method="PUT", headers={"Content-Length": str(size)})
    try:
        trust = trusting(request.roots) if request.roots else None
        with urllib.request.urlopen(wanted, timeout=_SILENCE_SEC, context=trust) as answer:
            answer.read()
    except (OSError, ValueError, ImportError, http_exceptions()) as error:
        raise Failure("unreachable", "%s took nothing: %s" % (address.hostname, error)) from None

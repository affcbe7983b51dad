"""One of moto's services as a WSGI application: from a request to the method that answers it, and back.

What moto makes of Flask, on werkzeug alone: to load Flask and what it takes with it an engine spent 35 ms at its start,
and to go through it 1 ms in each call.
https://github.com/getmoto/moto/blob/5.2.5/moto/moto_server/werkzeug_app.py#L396
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from moto.backends import get_backend
from moto.core.request import Request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.wrappers import Response

from pytest_fargate_sandbox.local.engine_credentials import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS")


class _Request(Request):
    from_wsgi_server = True


class _Answer(Response):
    default_mimetype = "text/html"


class _Regex(BaseConverter):
    part_isolating = False

    def __init__(self, url_map: Map, regex: str) -> None:
        super().__init__(url_map)
        self.regex = regex


class ServiceApp:
    """Raises what moto raises, unless that is an answer."""

    def __init__(self, name: Any) -> None:
        of_account: Any = get_backend(name)[ACCOUNT_ID]
        backend = of_account[REGION if REGION in of_account else "aws"]  # which one does not matter to the paths
        rules = [
            Rule(path, endpoint=answer, methods=_METHODS, strict_slashes=False)
            for path, answer in backend.flask_paths.items()
            if path
        ]
        self._urls = Map(rules, converters={"regex": _Regex})

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = _Request(environ)
        try:
            endpoint, _ = self._urls.bind_to_environ(environ).match()
            answer: Response = _answered(endpoint, request)
        except HTTPException as error:
            answer = error.get_response(environ)
        return answer(environ, start_response)


def _answered(endpoint: Callable[..., Any], request: Request) -> Response:
    """https://github.com/getmoto/moto/blob/5.2.5/moto/core/utils.py#L117"""
    try:
        result = endpoint(request, request.raw_url, dict(request.headers))
    except ClientError as error:
        result = 400, {}, error.response["Error"]["Message"]
    status, headers, content = result if len(result) == 3 else (200, {}, result)
    answer = _Answer(content, status, headers)
    if request.method == "HEAD" and "content-length" in headers:
        answer.headers["Content-Length"] = headers["content-length"]
    return answer

"""Whose rights files are read and written with: the server's own, or those of a user who was named for it."""

import contextlib

from pytest_fargate_sandbox.server.commands.command_user import CommandUser
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.thread_rights import as_owner_of_files, why_not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from pytest_fargate_sandbox.server.requests.exchange import Exchange


def as_user(act: "Callable[[Exchange, Any], None]") -> "Callable[[Exchange, Any], None]":
    """``act``, with the rights of whom the request names."""

    def acting(exchange: "Exchange", request: "Any") -> None:
        if not request.user:
            act(exchange, request)
            return
        if exchange.tenant:
            raise Failure("permission", "in a slot all files are the slot's own user's, not %s's" % request.user)
        with _rights_of(CommandUser(request.user)):
            act(exchange, request)

    return acting


@contextlib.contextmanager
def _rights_of(user: CommandUser) -> "Iterator[None]":
    if user.is_ours or user.uid == 0:
        yield
        return
    problem = why_not()
    if problem:
        raise Failure("permission", "files as %s: %s" % (user.name, problem))
    with as_owner_of_files(user.uid, user.gid, user.groups):
        yield

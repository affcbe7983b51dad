"""The policies that AWS has in every account: moto's, read when somebody first asks for a policy.

moto reads them, if told to, once for each partition of AWS and as soon as anything is called, since it asks its IAM for
the account: 1 s and 40 MB for who never asks for a policy. That they are there Terraform counts on, and whatever else
attaches ``AmazonECSTaskExecutionRolePolicy`` to a role.
"""

from __future__ import annotations

import threading
from typing import Any

_lock = threading.RLock()


def read_policies_late() -> None:
    """Before anything of IAM is touched; doing it twice is doing it once."""
    from moto.iam import models

    backend: Any = models.IAMBackend
    if not isinstance(getattr(backend, "managed_policies", None), property):
        read = _with_their_text(models, backend._init_aws_policies)
        backend._init_aws_policies = backend._init_managed_policies = lambda _: None
        backend.aws_managed_policies = _read_when_asked("_of_aws", read)
        backend.managed_policies = _read_when_asked(
            "_managed", lambda iam: {policy.arn: policy for policy in iam.aws_managed_policies}
        )


def _with_their_text(models: Any, read: Any) -> Any:
    """A megabyte of it, which was left out when moto's IAM was imported."""

    def read_all(iam: Any) -> Any:
        from moto.iam.aws_managed_policies import aws_managed_policies_data

        models.aws_managed_policies_data = aws_managed_policies_data
        return read(iam)

    return read_all


def _read_when_asked(name: str, read: Any) -> property:
    """An attribute that ``read`` makes. moto's own way to set it, at the beginning, makes it unread."""

    def get(iam: Any) -> Any:
        with _lock:
            if name not in iam.__dict__:
                iam.__dict__[name] = read(iam)
            return iam.__dict__[name]

    return property(get, lambda iam, _: iam.__dict__.pop(name, None))

"""Who asks: the same for all sessions of a role, and credentials that all processes of a user share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.session import Session

_SESSION = re.compile(r"(:assumed-role/[^/]+)/.*")


def without_session(arn: str) -> str:
    """The ARN of a role's session as that of the role: each process, and each renewal, has another session.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
    """
    return _SESSION.sub(r"\1", arn)


def share_credentials(session: Session) -> None:
    """Keep an assumed role's credentials where the AWS CLI keeps them, so that who needs a code is asked for it once.

    https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html#cli-configure-role-cache
    """
    from botocore.utils import JSONFileCache

    providers = session.get_component("credential_provider")
    cache = JSONFileCache(str(Path.home() / ".aws" / "cli" / "cache"))
    for name in ("assume-role", "assume-role-with-web-identity"):
        providers.get_provider(name).cache = cache

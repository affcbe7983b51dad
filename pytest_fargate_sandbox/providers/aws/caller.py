"""Who asks: the same for all sessions of a role, and credentials that all processes of a user share."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.session import Session

_SIGN_IN = "`aws sts get-caller-identity` asks for it, and keeps the answer where it is looked for here"
_NOT_HERE = (
    "the role's MFA code was not asked for before this process began, or its session is over (the profile's "
    f"`duration_seconds` makes it longer): {_SIGN_IN}"
)
_NO_TERMINAL = f"the role wants an MFA code, and there is no terminal to ask at: {_SIGN_IN}"

_SESSION = re.compile(r"(:assumed-role/[^/]+)/.*")


def without_session(arn: str) -> str:
    """The ARN of a role's session as that of the role: each process, and each renewal, has another session.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
    """
    return _SESSION.sub(r"\1", arn)


_questions = {"allowed": True}


def ask_nobody() -> None:
    """This process is one of several at one terminal: what needs a code is to have been asked for elsewhere."""
    _questions["allowed"] = False


def _ask(question: str) -> str:
    """For an MFA code."""
    import getpass

    from botocore.exceptions import CredentialRetrievalError

    if not _questions["allowed"]:
        raise CredentialRetrievalError(provider="assume-role", error_msg=_NOT_HERE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would read pytest's stdin, and echo
            return getpass.getpass(question)
    except (EOFError, OSError, getpass.GetPassWarning):
        raise CredentialRetrievalError(provider="assume-role", error_msg=_NO_TERMINAL) from None


def share_credentials(session: Session) -> None:
    """Keep an assumed role's credentials where the AWS CLI keeps them, so that who needs a code is asked for it once.

    https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html#cli-configure-role-cache
    """
    from botocore.utils import JSONFileCache

    providers = session.get_component("credential_provider")
    cache = JSONFileCache(str(Path.home() / ".aws" / "cli" / "cache"))
    for name in ("assume-role", "assume-role-with-web-identity"):
        providers.get_provider(name).cache = cache
    providers.get_provider("assume-role")._prompter = _ask

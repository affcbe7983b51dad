"""Keys that nobody has had before."""

from __future__ import annotations

import os

from pytest_fargate_sandbox.providers.ssh.key_pairs import KeyPair, derived_key_pair


def fresh_key_pair() -> KeyPair:
    return derived_key_pair(os.urandom(32))

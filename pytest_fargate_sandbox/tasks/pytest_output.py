"""The reward in what pytest says, for tasks of terminal-bench, whose verifiers leave no file.

It is the list at the end, which their scripts ask for by ``-rA``: solved is what has no test in it that did not pass.
"""

from __future__ import annotations

import re

from pytest_fargate_sandbox.tasks import reward

_SUMMARY = re.compile(r"^=+ *short test summary info *=+$", re.MULTILINE | re.IGNORECASE)
_LINE = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b:? +(\S.*)$", re.MULTILINE)
_GOOD = ("PASSED", "SKIPPED", "XFAIL")


def reward_in(output: str) -> reward.Reward:
    """Raises ``NotAReward``. What a program under test prints comes before: the last list is pytest's."""
    lists = _SUMMARY.split(output)
    if len(lists) < 2:
        raise reward.NotAReward("the verifier's output has no short test summary of pytest's")
    told = _LINE.findall(lists[-1])
    if not told:
        raise reward.NotAReward("the verifier's output has a short test summary of pytest's without a test in it")
    return reward.of({reward.KEY: float(all(word in _GOOD for word, _ in told))})

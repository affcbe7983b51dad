"""Text that came out of a sandbox, made fit for a page."""

from __future__ import annotations

from pytest_fargate_sandbox.leaves.printable import printable

_TURNING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0xFEFF)
"""What would show text in another order than it has, the text behind it too: https://trojansource.codes/"""
_VISIBLE = {number: f"\\u{number:04x}" for number in _TURNING}


def shown(text: object) -> str:
    return printable(str(text)).translate(_VISIBLE)

"""What a plain (unquoted) YAML scalar means: the core schema of YAML 1.2, and nothing that only looks like it."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NUMERIC = frozenset("0123456789+-.")
_DIGITS = 18
"""Longer whole numbers need not fit into the 64 bits that a database has for them."""


class Ambiguous(ValueError):
    """A scalar that people read in two ways. The text says why; `fix` what to write instead."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


def resolve(text: str) -> Any:
    """
    Return what the plain scalar *text* stands for: None, a bool, a finite number, or the text itself.

    `on`, `yes`, `1:30` and dates are text. Ambiguous where it is a number that cannot be meant as it stands.
    """
    if text[:1] not in _NUMERIC:
        return CONSTANTS.get(text, text)
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _OTHER_BASE.fullmatch(text):
        return _small(int(text, 0) if len(text) <= _DIGITS else None)
    if _NOT_FINITE.fullmatch(text):
        raise Ambiguous("is not a finite number", "write a finite number")
    return CONSTANTS.get(text, text)


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if digits[0] == "0" and len(digits) > 1:
        raise Ambiguous("has a leading zero: octal or decimal?", "drop the zero, or quote it if it is text")
    return _small(int(text) if len(digits) <= _DIGITS else None)


def _small(number: int | None) -> int:
    if number is None:
        raise Ambiguous("is too large for a 64-bit integer", "write a smaller number, or quote it if it is text")
    return number


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise Ambiguous("is not a finite number", "write a finite number")
    return number

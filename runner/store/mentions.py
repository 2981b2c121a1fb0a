"""Which tables a text of SQL may be about: a wide guess, for a snapshot that has too much is no harm."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORD = re.compile(r"\w+")


class Mentions:
    """Every name that occurs in *texts*, whatever as: `name in mentions`, in any case of letters."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._text = "\n".join(texts).lower()
        self._words = set(_WORD.findall(self._text))

    def __contains__(self, name: object) -> bool:
        name = str(name).lower()
        return name in self._words if _WORD.fullmatch(name) else name in self._text

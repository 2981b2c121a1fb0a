"""Which engine a database URL stands for. Nothing is connected here, and no URL is ever shown."""

from __future__ import annotations

import re
from urllib.parse import unquote

from runner.config.wording import listed

ENGINES = {"sqlite": "sqlite"}
"""The scheme of a database URL: the engine it stands for, and the folder of its migrations."""


class NotADatabase(ValueError):
    """A URL that no engine serves. The text says why; `fix` what to write."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


def engine_of(url: str) -> str:
    """Return the engine that *url* stands for; NotADatabase where there is none, in words that show nothing of it."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://", url)
    examples = "write sqlite:///relative.db or sqlite:////absolute.db"
    if not found:
        raise NotADatabase("is not a database URL", examples)
    scheme = found[1].lower()
    if scheme not in ENGINES:
        raise NotADatabase(f"has the scheme {scheme}, which no engine serves", f"use {listed(ENGINES)}")
    if scheme == "sqlite" and (not re.fullmatch(r"sqlite:///[^?#]*[^/?#]", url) or "\0" in unquote(url)):
        raise NotADatabase("does not name a file after three slashes", examples)
    return ENGINES[scheme]

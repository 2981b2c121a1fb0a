"""Ids of runs and snapshots: when they began, and something that tells apart what began in the same second."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def ids(at: datetime) -> Iterator[str]:
    """Yield ids for what began at *at*, such as `20260802T120000Z-3f9a`, without end; the first free one is taken."""
    while True:
        yield f"{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"

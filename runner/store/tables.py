"""The two tables that a rollout fills, as the runner reads and writes them: made from the classes of their rows."""

from __future__ import annotations

from typing import NamedTuple

from runner.store import rows


class Table(NamedTuple):
    """
    A table and what the runner does with its columns; `rows.py` says what each group means.

    `parents` are columns whose values stand in another table: (column, table, its column). `expires` says that rows
    have a time to live, `ours` is the SQL condition under which a row of table t is not the application's own.
    """

    name: str
    key: tuple[str, ...]
    seeded: tuple[str, ...]
    first: tuple[str, ...]
    switched: tuple[str, ...]
    live: tuple[str, ...]
    bookkeeping: tuple[str, ...]
    parents: tuple[tuple[str, str, str], ...]
    expires: bool = False
    ours: str | None = None


def _table(name: str, row: type, *, expires: bool = False, ours: str | None = None) -> Table:
    return Table(
        name=name,
        key=rows.having(row, rows.KEY),
        seeded=rows.having(row, rows.SEEDED),
        first=rows.having(row, rows.FIRST),
        switched=rows.having(row, rows.SWITCHED),
        live=rows.having(row, rows.LIVE),
        bookkeeping=rows.having(row, rows.BOOKKEEPING),
        parents=rows.parents(row),
        expires=expires,
        ours=ours,
    )


PROVIDER_STATES = _table("provider_states", rows.ProviderState)
PORTFOLIO_RATIONALES = _table(
    "portfolio_rationales", rows.PortfolioRationale, expires=True, ours="substr(t.rationale_type, 1, 6) = 'CACHE_'"
)


TABLES = (PROVIDER_STATES, PORTFOLIO_RATIONALES)

"""
What the runner asks of a database, and nothing more.

A backend is one module that opens a `Backend`; `connect` picks it.
SQL in this project is written once, with `:name` parameters; a backend translates what its engine says differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from runner.config.model import Migration, Statement

Row = dict[str, Any]


class Backend(Protocol):
    """
    A connection to one database.

    Everything that writes does so inside `transaction()`, which takes the write lock at once, so that what was read
    inside it still holds at the commit. Rows are plain dicts, in the order of the query's columns.
    """

    differs: str
    """The engine's null-safe 'is not equal', to be put between two expressions."""
    identity: str
    """The engine's type for a primary key that numbers itself."""

    def transaction(self) -> AbstractContextManager[None]:
        """Hold the write lock; commit at the end of the block, roll back on any exception."""

    def rolled_back(self) -> AbstractContextManager[None]:
        """Inside a transaction: take back everything the block did, always."""

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Return every row of a query."""

    def scalar(self, sql: str, values: Mapping[str, Any] | None = None) -> Any:
        """Return the first column of the first row; None where there is no row."""

    def execute(self, sql: str, values: Mapping[str, Any] | None = None) -> int:
        """Run one statement and return how many rows it changed."""

    def execute_many(self, sql: str, values: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for each of *values* (a generator will do); return how many rows were changed in all."""

    def load(self, table: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Fill a temporary table of this connection, made anew from *columns* (name to type), with *rows*."""

    def stream(self, sql: str, values: Mapping[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query one by one, as plain tuples."""

    def run(self, migration: Migration, statements: tuple[Statement, ...]) -> None:
        """Run a section of *migration*; StepFailed names file and line of the statement that did not work."""

    def holds(self, statement: Statement) -> bool:
        """Say whether a verify query returns one true value."""

    def deadline(self, seconds: float, monotonic: Callable[[], float]) -> AbstractContextManager[None]:
        """Interrupt whatever query of the block is still running after *seconds*."""

    def tables(self) -> set[str]:
        """Return the names of all tables."""

    def columns(self, table: str) -> dict[str, str]:
        """Return the columns of *table* with their declared types, in order; empty where there is no such table."""

    def keys(self, table: str) -> Iterator[str]:
        """Yield the primary key of every row of *table* as canonical JSON; the whole row where it has no key."""

    def objects(self) -> frozenset[str]:
        """Return every schema object that somebody made, each as `kind name`."""

    def time(self, moment: datetime) -> Any:
        """Return *moment* as the application's tables hold it, comparable with the engine's CURRENT_TIMESTAMP."""

    def reader(self) -> Backend:
        """Open a second connection to the same database that cannot write."""

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""

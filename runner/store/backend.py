"""
What the runner asks of a database, and nothing more.

A backend is one module that opens a `Backend`; `connect` picks it.
SQL in this project is written once, with `:name` parameters; a backend translates what its engine says differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from runner.config.model import Migration, Statement

Row = dict[str, Any]


class Loss(NamedTuple):
    """
    What bringing a copy back takes away from a table: what was done to it since.

    `rows` are those of the copy. `added`, `changed` and `removed` count the rows to which that was done since the copy
    was made; a few of each are named. `is_remade` says that the table had another form, `columns` which ones are new;
    `is_dropped` that the copy has no such table.
    """

    table: str
    rows: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    added_keys: tuple[str, ...] = ()
    changed_keys: tuple[str, ...] = ()
    removed_keys: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    is_remade: bool = False
    is_dropped: bool = False

    @property
    def is_none(self) -> bool:
        """Whether the table is as it was."""
        return not (self.added or self.changed or self.removed or self.is_remade or self.is_dropped)


class Beside(Protocol):
    """A copy of tables that stands beside the database, where SQL finds its tables as `kept.<table>`."""

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the columns of a table as the copy has it; none where it has no such table."""

    def losses(self) -> tuple[Loss, ...]:
        """Return, for each table of the application that the copy has, what putting it back would take away."""

    def dropped(self, made: Collection[str]) -> tuple[Loss, ...]:
        """Return what would be lost with the tables among *made* (each `kind name`) that the copy does not have."""

    def bring_back(self, made: Collection[str]) -> None:
        """
        Put the application's tables back to the byte, inside the open transaction, and compare them.

        Drops what *made* names and the copy does not have. The runner's own tables are left to the caller. StepFailed
        where it cannot be done exactly; the transaction is then to be rolled back.
        """


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
    is_json: str
    """The engine's condition that a value, to be put in for `{}`, is valid JSON."""
    instant: str
    """The engine's form of a time, to be put in for `{}`, in which two can be compared; NULL where it is none."""

    longest_transaction_s: float
    """How long the longest committed transaction of this connection held the write lock. May be set back to 0."""

    def transaction(self) -> AbstractContextManager[None]:
        """Hold the write lock; commit at the end of the block, roll back on any exception."""

    def one_moment(self) -> AbstractContextManager[None]:
        """Outside of a transaction: let all that the block reads be of one moment; nobody waits for it."""

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

    def primary_key(self, table: str) -> tuple[str, ...]:
        """Return the columns of the primary key of *table*; all its columns where it has none."""

    def references(self, table: str) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        """Return every foreign key that refers to *table*: the child table, and its columns with those they name."""

    def integrity(self) -> list[str]:
        """Return the first things that are wrong with the database itself, and rows without their parent."""

    def objects(self) -> frozenset[str]:
        """Return every schema object that somebody made, each as `kind name`."""

    def time(self, moment: datetime) -> Any:
        """Return *moment* as the application's tables hold it, comparable with the engine's CURRENT_TIMESTAMP."""

    def copy(self, mentioned: Container[str], target: Path) -> dict[str, int]:
        """
        Copy every table that is *mentioned*, and what hangs on it, to the empty file *target*; return their rows.

        Consistent, read on a connection of its own (it sees what was committed before an open transaction), and
        compared row by row. StepFailed where it cannot be written, or not exactly.
        """

    def beside(self, copy: Path) -> AbstractContextManager[Beside]:
        """Put a copy beside the database for the block, outside of any transaction; no foreign key acts in it."""

    def copy_to(self, url: str) -> None:
        """Copy the whole database, as it is at one moment, into a new one at *url*; this one is only read."""

    def reader(self) -> Backend:
        """Open a second connection to the same database that cannot write."""

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""

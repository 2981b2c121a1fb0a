"""What is known of the schema from the migrations before; what none of them made is unknown: no database is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runner.decide.lint.acts import Kind, Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.decide.lint.acts import Act, Column


class Table(NamedTuple):
    """A table's columns by name, and its parents; `complete`: it has no others."""

    columns: dict[str, Column]
    references: list[Reference]
    complete: bool


class Child(NamedTuple):
    """A table whose rows refer to another's, and what becomes of them when those go."""

    table: str
    on_delete: str


class Known:
    """The schema as far as it is known; learns act by act."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.indexes: dict[str, str] = {}
        self.triggers: dict[str, str] = {}
        self.checks: dict[tuple[str, str], str] = {}
        self.never_null: set[tuple[str, str]] = set()

    def children(self, parent: str) -> Iterator[Child]:
        """Yield which other tables refer to *parent*, each once for each way."""
        for name, table in self.tables.items():
            if name != parent:
                for on_delete in sorted({each.on_delete for each in table.references if each.table == parent}):
                    yield Child(name, on_delete)

    def belongings(self, table: str) -> list[str]:
        """Return the indexes and triggers that go when *table* goes."""
        return [name for of in (self.indexes, self.triggers) for name, owner in of.items() if owner == table]

    def column(self, table: str, name: str) -> Column | None:
        """Return the column called *name* of *table*; None where it is unknown."""
        return self.tables[table].columns.get(name) if table in self.tables else None

    def learn(self, act: Act) -> None:
        """Take in what *act* does."""
        match act.kind:
            case Kind.CREATE_TABLE:
                columns = {column.name: column for column in act.columns}
                self.tables.setdefault(act.table, Table(columns, list(act.references), not act.has("opaque")))
            case Kind.DROP_TABLE:
                self.tables.pop(act.table, None)
                for name in self.belongings(act.table):
                    self.indexes.pop(name, None)
                    self.triggers.pop(name, None)
            case Kind.RENAME_TABLE:
                self._rename(act.table, act.to)
            case Kind.CREATE_INDEX:
                self.indexes[act.name] = act.table
            case Kind.DROP_INDEX:
                self.indexes.pop(act.name, None)
            case Kind.CREATE if act.what == "trigger":
                self.triggers[act.name] = act.table
            case Kind.DROP if act.what == "trigger":
                self.triggers.pop(act.name, None)
            case Kind.VALIDATE_CONSTRAINT if (act.table, act.name) in self.checks:
                self.never_null.add((act.table, self.checks[act.table, act.name]))
            case _:
                self._alter(act)

    def _alter(self, act: Act) -> None:
        table = self.tables.get(act.table)
        if act.kind is Kind.ADD_CONSTRAINT and act.what == "check" and act.to:
            self.checks[act.table, act.name] = act.to
            if not act.has("not_valid"):
                self.never_null.add((act.table, act.to))
        if table is None:
            return
        table.references.extend(act.references)
        match act.kind:
            case Kind.ADD_COLUMN:
                table.columns[act.name] = act.columns[0]
            case Kind.DROP_COLUMN:
                table.columns.pop(act.name, None)
            case Kind.RENAME_COLUMN if act.name in table.columns:
                table.columns[act.to] = table.columns.pop(act.name)._replace(name=act.to)
            case Kind.ALTER_TYPE if act.name in table.columns:
                table.columns[act.name] = table.columns[act.name]._replace(type=act.to)

    def _rename(self, old: str, new: str) -> None:
        """Rename a table; who refers to it follows, as it does in both engines."""
        if old in self.tables:
            self.tables[new] = self.tables.pop(old)
        for table in self.tables.values():
            table.references[:] = [Reference(new, each[1]) if each.table == old else each for each in table.references]
        for of in (self.indexes, self.triggers):
            of.update({name: new for name, owner in of.items() if owner == old})

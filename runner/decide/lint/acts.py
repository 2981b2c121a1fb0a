"""What a statement does, in the words in which it is judged; which parser read it does not matter here."""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import NamedTuple


class Kind(Enum):
    """The kinds of act that are told apart."""

    CREATE_TABLE = auto()
    DROP_TABLE = auto()
    RENAME_TABLE = auto()
    ADD_COLUMN = auto()
    DROP_COLUMN = auto()
    RENAME_COLUMN = auto()
    ALTER_TYPE = auto()
    SET_NOT_NULL = auto()
    ADD_CONSTRAINT = auto()
    VALIDATE_CONSTRAINT = auto()
    DROP_CONSTRAINT = auto()
    ALTER_TABLE = auto()
    REWRITE = auto()
    CREATE_INDEX = auto()
    DROP_INDEX = auto()
    REINDEX = auto()
    CREATE = auto()
    DROP = auto()
    RENAME = auto()
    ADD_VALUE = auto()
    INSERT = auto()
    UPDATE = auto()
    DELETE = auto()
    TRUNCATE = auto()
    LOCK = auto()
    REFRESH = auto()
    VACUUM = auto()
    PRAGMA = auto()
    SET = auto()
    GRANT = auto()
    TRIGGERED = auto()
    READ = auto()


class Default(StrEnum):
    """What a new column gets in rows that stand: nothing, one value for all, or one that is worked out for each."""

    NONE = "none"
    CONSTANT = "constant"
    ONCE = "worked out once"
    EACH = "worked out for each row"


class Reference(NamedTuple):
    """A foreign key's parent, and what becomes of the row when the parent's goes: `cascade`, `set null`, or nothing."""

    table: str
    on_delete: str = ""


class Column(NamedTuple):
    """A column as it is declared; `type` is in capitals."""

    name: str
    type: str = ""
    default: Default = Default.NONE
    not_null: bool = False
    unique: bool = False
    primary: bool = False
    checked: bool = False
    stored: bool = False
    numbered: bool = False
    references: tuple[Reference, ...] = ()


class Act(NamedTuple):
    """
    One thing that a statement does.

    `name` is the column, index, constraint or object; `to` its new name or type; `what` the kind of object or
    constraint, the lock, or a value. `others` are further tables it reads or refers to.
    """

    kind: Kind
    table: str = ""
    name: str = ""
    to: str = ""
    what: str = ""
    columns: tuple[Column, ...] = ()
    references: tuple[Reference, ...] = ()
    others: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()

    def has(self, *flags: str) -> bool:
        """Say whether it has one of *flags*, such as `concurrently`."""
        return not self.flags.isdisjoint(flags)


class NotUnderstood(Exception):
    """A statement that cannot be read; the text says why."""

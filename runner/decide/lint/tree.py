"""What sqlglot makes of a statement becomes acts. The one module that knows that parser."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from runner.decide.lint.acts import Act, Column, Default, Kind, NotUnderstood, Reference
from runner.decide.lint.commands import EXCLUSIVE
from runner.decide.lint.text import named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

READS = (
    *(exp.Query, exp.Values, exp.Comment, exp.Grant, exp.Revoke, exp.Analyze, exp.Attach, exp.Detach),
    *(exp.Set, exp.Use, exp.Describe),
)
WRITES = (exp.Insert, exp.Update, exp.Delete)
NUMBERED = frozenset({exp.DType.SERIAL, exp.DType.BIGSERIAL, exp.DType.SMALLSERIAL})
ONCE = frozenset({"now", "statement_timestamp", "transaction_timestamp", "current_setting", "datetime", "date", "time"})
"""Functions that sqlglot has no class for and that give all rows of a statement the same value."""


def acts(sql: str, dialect: str) -> Iterator[Act]:
    """Yield what *sql* does; NotUnderstood where sqlglot cannot parse it, or makes nothing of it."""
    try:
        for tree in _parsed(sql, dialect):
            if isinstance(tree, exp.Command) or not isinstance(tree, tuple(_READ)):
                raise NotUnderstood("it is no statement that the lint knows")
            read = next(read for kind, read in _READ.items() if isinstance(tree, kind))
            yield from read(tree)
    except RecursionError as error:  # what is parsed without one, such as a thousand times AND, may still be too deep
        raise NotUnderstood("it is nested too deeply") from error


def _parsed(sql: str, dialect: str) -> list[exp.Expr]:
    try:
        with _silence():
            return [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    except ParseError as error:
        said = error.errors[0].get("description") if error.errors else None
        raise NotUnderstood(f"the parser says: {said or 'it is not SQL'}") from error
    except RecursionError:
        raise
    except Exception as error:  # a bug of the parser is no reason to say nothing of the other statements
        raise NotUnderstood(f"the parser fails: {type(error).__name__}") from error


@contextmanager
def _silence() -> Iterator[None]:
    """Let sqlglot's logger say nothing: what it cannot read is told as a finding."""
    logger = logging.getLogger("sqlglot")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


# names and flags


def _name(node: Any) -> str:
    """Return by which name the first table or identifier in *node* is known; empty where there is none."""
    if not isinstance(node, exp.Expr):
        return ""
    table = node.find(exp.Table)
    if table is not None:
        return named(table.text("db"), table.name)
    identifier = node.find(exp.Identifier)
    return identifier.name.lower() if identifier is not None else ""


def _flags(node: exp.Expr, *names: str) -> frozenset[str]:
    return frozenset(name for name in names if node.args.get(name))


def _tables(nodes: Iterable[exp.Expr | None]) -> tuple[str, ...]:
    found = {_name(table) for node in nodes if node is not None for table in node.find_all(exp.Table)}
    return tuple(sorted(found - {""}))


# columns and references


def _column(node: exp.ColumnDef) -> Column:
    kinds = [each.args.get("kind") for each in node.args.get("constraints") or ()]

    def one(kind: type[exp.Expr]) -> Any:
        return next((each for each in kinds if isinstance(each, kind)), None)

    kind = node.args.get("kind")
    null, computed = one(exp.NotNullColumnConstraint), one(exp.ComputedColumnConstraint)
    default = one(exp.DefaultColumnConstraint)
    return Column(
        name=node.name.lower(),
        type=kind.sql().upper() if kind else "",
        default=_default(default.this) if default else Default.NONE,
        not_null=null is not None and not null.args.get("allow_null"),
        unique=one(exp.UniqueColumnConstraint) is not None,
        primary=one(exp.PrimaryKeyColumnConstraint) is not None,
        checked=one(exp.CheckColumnConstraint) is not None,
        stored=computed is not None and computed.args.get("persisted") is not False,
        numbered=one(exp.GeneratedAsIdentityColumnConstraint) is not None
        or (isinstance(kind, exp.DataType) and kind.this in NUMBERED),
        references=tuple(_references(node)),
    )


def _default(node: exp.Expr) -> Default:
    """Say what a default does; a function that nobody knows may give every row its own value."""
    inner = node.unnest() if isinstance(node, exp.Paren) else node
    if isinstance(inner, exp.Null):
        return Default.NONE
    if isinstance(inner, exp.Rand | exp.Uuid) or inner.find(exp.Rand, exp.Uuid):
        return Default.EACH
    if any(each.name.lower() not in ONCE for each in inner.find_all(exp.Anonymous)):
        return Default.EACH
    constant = isinstance(inner, exp.Literal | exp.Boolean | exp.HexString | exp.Column | exp.Array | exp.Cast) or (
        isinstance(inner, exp.Neg) and isinstance(inner.this, exp.Literal)
    )
    return Default.CONSTANT if constant and not inner.find(exp.Anonymous) else Default.ONCE


def _references(node: exp.Expr) -> Iterator[Reference]:
    for each in node.find_all(exp.Reference):
        options = [str(option).lower() for option in each.args.get("options") or ()]
        on_delete = next((option.removeprefix("on delete ") for option in options if "on delete" in option), "")
        yield Reference(_name(each), on_delete)


# CREATE and DROP


def _create(node: exp.Create) -> Iterator[Act]:
    kind = str(node.args.get("kind")).upper()
    if kind == "INDEX":
        index = node.this
        flags = _flags(node, "unique", "concurrently", "exists")
        yield Act(Kind.CREATE_INDEX, _name(index.args.get("table")), index.name.lower(), flags=flags)
    elif kind == "TABLE":
        yield _create_table(node)
    elif kind == "TRIGGER":
        table = next(iter(_tables([node.args.get("properties")])), "")
        yield Act(Kind.CREATE, table, _name(node.this), what="trigger", flags=_flags(node, "replace"))
    else:
        yield Act(Kind.CREATE, name=_name(node.this), what=kind.lower(), flags=_flags(node, "replace", "exists"))


def _create_table(node: exp.Create) -> Act:
    schema, properties = node.this, node.args.get("properties")
    parts = schema.expressions if isinstance(schema, exp.Schema) else []
    columns = tuple(
        _column(part) if isinstance(part, exp.ColumnDef) else Column(part.name.lower())
        for part in parts
        if isinstance(part, exp.ColumnDef | exp.Identifier)
    )
    others = _tables([*(part for part in parts if isinstance(part, exp.LikeProperty)), properties, node.expression])
    flags = _flags(node, "exists") | ({"opaque"} if others or not columns else set())
    if properties is not None and properties.find(exp.PartitionedOfProperty):
        flags |= {"partition"}
    return Act(
        Kind.CREATE_TABLE,
        _name(schema.this if isinstance(schema, exp.Schema) else schema),
        columns=columns,
        references=tuple(_references(schema)),
        others=others,
        flags=flags,
    )


_DROPPED = {"TABLE": Kind.DROP_TABLE, "INDEX": Kind.DROP_INDEX}


def _drop(node: exp.Drop) -> Iterator[Act]:
    what = str(node.args.get("kind")).upper()
    kind = _DROPPED.get(what, Kind.DROP)
    flags = _flags(node, "cascade", "concurrently", "exists")
    on = _name(node.args.get("cluster"))
    for each in node.args.get("tables") or ():
        name = _name(each) or named(each.text("db"))
        if kind is Kind.DROP_TABLE:
            yield Act(kind, name, flags=flags | ({"many"} if len(node.args["tables"]) > 1 else set()))
        else:
            yield Act(kind, on, name, what=what.lower(), flags=flags)


# ALTER TABLE


def _alter(node: exp.Alter) -> Iterator[Act]:
    if node.args.get("kind") != "TABLE":
        yield Act(Kind.READ)
        return
    table = _name(node.this)
    for action in node.args.get("actions") or ():
        read = next((read for kind, read in _ACTIONS.items() if isinstance(action, kind)), None)
        if read is None:
            raise NotUnderstood("it alters the table in a way that the lint does not know")
        for act in read(action):
            more = {"not_valid"} if node.args.get("not_valid") else set()
            yield act._replace(table=table, flags=act.flags | more)


def _add_column(action: exp.ColumnDef) -> Iterator[Act]:
    column = _column(action)
    flags = _flags(action, "exists")
    yield Act(Kind.ADD_COLUMN, "", column.name, columns=(column,), references=column.references, flags=flags)


_DROPPED_PARTS = {"COLUMN": Kind.DROP_COLUMN, "CONSTRAINT": Kind.DROP_CONSTRAINT}


def _drop_part(action: exp.Drop) -> Iterator[Act]:
    kind = _DROPPED_PARTS.get(str(action.args.get("kind")).upper())
    names = [each.name.lower() for each in action.args.get("tables") or ()]
    if kind is None or not names:
        raise NotUnderstood("it does not say what it drops")
    for name in names:
        yield Act(kind, "", name, flags=_flags(action, "cascade"))


def _alter_column(action: exp.AlterColumn) -> Iterator[Act]:
    name, dtype = action.this.name.lower(), action.args.get("dtype")
    if dtype:
        flags = _flags(action, "using")
        yield Act(Kind.ALTER_TYPE, "", name, to=dtype.sql("postgres").upper(), flags=flags)
    elif action.args.get("allow_null") is False:
        yield Act(Kind.SET_NOT_NULL, "", name)
    else:
        yield Act(Kind.ALTER_TABLE, "", name, what=EXCLUSIVE)


_CONSTRAINTS: dict[type[exp.Expr], str] = {
    exp.ForeignKey: "foreign key",
    exp.PrimaryKey: "primary key",
    exp.UniqueColumnConstraint: "unique",
    exp.ExcludeColumnConstraint: "exclude",
    exp.CheckColumnConstraint: "check",
}


def _add_constraint(action: exp.AddConstraint) -> Iterator[Act]:
    for each in action.expressions:
        name = each.name.lower() if isinstance(each, exp.Constraint) else ""
        found = each.find(*_CONSTRAINTS)
        what = next((word for kind, word in _CONSTRAINTS.items() if isinstance(found, kind)), "")
        if not what:
            raise NotUnderstood("it adds a constraint that the lint does not know")
        references = tuple(_references(each))
        yield Act(Kind.ADD_CONSTRAINT, "", name, _never_null(found), what, references=references)


def _never_null(check: exp.Expr | None) -> str:
    """Return the column of which *check* says only that it is not NULL; empty where it says something else."""
    said = check.this.unnest() if isinstance(check, exp.CheckColumnConstraint) else None
    if not isinstance(said, exp.Is) or not isinstance(said.expression, exp.Null) or not said.args.get("negate"):
        return ""
    return said.this.name.lower() if isinstance(said.this, exp.Column) else ""


_ACTIONS: dict[type[exp.Expr], Callable[[Any], Iterator[Act]]] = {
    exp.ColumnDef: _add_column,
    exp.Drop: _drop_part,
    exp.AlterColumn: _alter_column,
    exp.AddConstraint: _add_constraint,
    exp.AlterRename: lambda action: iter([Act(Kind.RENAME_TABLE, to=_name(action.this))]),
    exp.RenameColumn: lambda action: iter(
        [Act(Kind.RENAME_COLUMN, "", action.this.name.lower(), action.args["to"].name.lower())]
    ),
    exp.AlterSet: lambda _: iter([Act(Kind.ALTER_TABLE, what=EXCLUSIVE)]),
}


# rows


def _write(node: exp.Expr) -> Iterator[Act]:
    """Yield what *node* writes, in its WITH too."""
    for each in node.find_all(*WRITES):
        if isinstance(each.parent, exp.When):  # a branch of MERGE, which says itself which rows it means
            continue
        others = _tables([each.args.get("expression"), each.args.get("from_"), *(each.args.get("using") or ())])
        flags = frozenset[str]()
        if isinstance(each, exp.Insert):
            alternative = str(each.args.get("alternative") or "").lower()
            flags = frozenset({alternative} if alternative else ()) | ({"from_query"} if others else set())
            yield Act(Kind.INSERT, _name(each.this), others=others, flags=flags)
            continue
        kind = Kind.UPDATE if isinstance(each, exp.Update) else Kind.DELETE
        where = each.args.get("where")
        if not each.args.get("limit") and (where is None or _lets_all(where.this)):
            flags = frozenset({"unbounded"})
        yield Act(kind, _name(each.this), others=others, flags=flags)


def _lets_all(condition: exp.Expr) -> bool:
    """Say whether *condition* looks at no row at all, and so lets all of them through (or none)."""
    match condition:
        case exp.Paren():
            return _lets_all(condition.this)
        case exp.Or():
            return _lets_all(condition.left) or _lets_all(condition.right)
        case exp.And():
            return _lets_all(condition.left) and _lets_all(condition.right)
        case exp.EQ() if condition.left == condition.right:
            return True  # all but those that are NULL
    never = condition.sql().upper() in {"FALSE", "0", "NULL"}
    return not never and condition.find(exp.Column, exp.Query, exp.Anonymous) is None


def _merge(node: exp.Merge) -> Iterator[Act]:
    yield Act(Kind.UPDATE, _name(node.this), others=_tables([node.args.get("using")]))


def _truncate(node: exp.TruncateTable) -> Iterator[Act]:
    flags = frozenset({"cascade"} if node.args.get("option") == "CASCADE" else ())
    for each in node.expressions:
        yield Act(Kind.TRUNCATE, _name(each), flags=flags)


def _pragma(node: exp.Pragma) -> Iterator[Act]:
    name, _, value = node.this.sql().partition("=")
    yield Act(Kind.PRAGMA, name=name.strip().lower(), what=value.strip().lower())


def _read(node: exp.Expr) -> Iterator[Act]:
    yield from _write(node) if node.find(*WRITES) else (Act(Kind.READ),)


_READ: dict[type[exp.Expr], Callable[[Any], Iterator[Act]]] = {
    exp.Create: _create,
    exp.Drop: _drop,
    exp.Alter: _alter,
    exp.Insert: _write,
    exp.Update: _write,
    exp.Delete: _write,
    exp.Merge: _merge,
    exp.TruncateTable: _truncate,
    exp.Pragma: _pragma,
    exp.Copy: lambda node: iter([Act(Kind.INSERT, _name(node.this))]),
    **dict.fromkeys(READS, _read),
}

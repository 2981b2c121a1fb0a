"""
Statements that are known by their first words, and what they do.

These are short and rarely varied (VACUUM, LOCK TABLE, VALIDATE CONSTRAINT), have bodies that are not run now (triggers,
functions), or are too long to parse for what there is to tell (rows to insert).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from runner.decide.lint.acts import Act, Kind
from runner.decide.lint.text import IDENTIFIER, NAME, NAMES, known_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHARE_UPDATE, SHARE_ROW, EXCLUSIVE = "SHARE UPDATE EXCLUSIVE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"

_LOCKS = r"ACCESS\s+SHARE|ROW\s+SHARE|ROW\s+EXCLUSIVE|SHARE\s+UPDATE\s+EXCLUSIVE|SHARE\s+ROW\s+EXCLUSIVE"
_UNSEEN = (
    r"FUNCTION|PROCEDURE|AGGREGATE|EXTENSION|POLICY|RULE|DOMAIN|ROLE|USER|CAST|OPERATOR|COLLATION|SERVER|PUBLICATION"
)


class Phrase(NamedTuple):
    """How a statement reads, in the words of `re.VERBOSE`, and what makes the acts of what was found."""

    pattern: re.Pattern[str]
    acts: Callable[[re.Match[str]], Iterator[Act]]


def inserted(sql: str) -> tuple[Act, ...] | None:
    """Return what *sql* does if it inserts rows that stand in it; None where it does something else."""
    return spoken(sql, (_INSERT,))


def spoken(sql: str, phrases: tuple[Phrase, ...]) -> tuple[Act, ...] | None:
    """Return what *sql* does if one of *phrases* fits; None where none does."""
    for phrase in phrases:
        if found := phrase.pattern.fullmatch(sql):
            return tuple(phrase.acts(found))
    return None


def _phrase(pattern: str, kind: Kind, *flags: str, what: str = "") -> Phrase:
    """Make a phrase whose groups `table`, `name`, `to`, `what` fill an act, and whose other groups are its flags."""

    def acts(found: re.Match[str]) -> Iterator[Act]:
        groups = {name: text for name, text in found.groupdict().items() if text}
        table, name, to = (known_as(groups.pop(each, "")) for each in ("table", "name", "to"))
        words = " ".join(groups.pop("what", what).split())
        words = words.upper() if kind in {Kind.LOCK, Kind.ALTER_TABLE} else words.lower()
        tables = [known_as(each) for each in re.findall(NAME, groups.pop("tables", ""))]
        for each in tables or [table]:
            yield Act(kind, each, name, to, words, flags=frozenset({*flags, *groups}))

    return Phrase(re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE | re.DOTALL), acts)


_EVERYBODY = re.compile(r'(?:(?<= TO )|, ?)(?:GROUP )?"?PUBLIC"?(?:$|[ ,])', re.IGNORECASE)


def _granted(found: re.Match[str]) -> Iterator[Act]:
    """Yield what a GRANT gives to everybody; PUBLIC is a role like any other in the list after the last TO."""
    said = " ".join(found[0].split())
    last = next(reversed([*re.finditer(" TO ", said, re.IGNORECASE)]), None)
    if last is None or not _EVERYBODY.search(said, last.end()):
        yield Act(Kind.READ)
    else:
        *_, rights = re.split(r"\bGRANT ", said[: last.start()], maxsplit=1, flags=re.IGNORECASE)
        yield Act(Kind.GRANT, name=rights)


_INSERT = _phrase(
    rf"(?:INSERT(?: OR (?:(?P<replace>REPLACE)|(?P<rollback>ROLLBACK)|\w+))?|(?P<replacing>REPLACE)) INTO"
    rf" (?P<table>{NAME})(?:\s+AS {IDENTIFIER})?\s*(?:\([^()]*\)\s*)?(?:OVERRIDING \w+ VALUE )?VALUES\b.*",
    Kind.INSERT,
)
_TRIGGER = rf"TRIGGER (?:IF NOT EXISTS )?(?P<name>{NAME}) .*?\bON (?P<table>{NAME})\b.*"

SQLITE = (
    _phrase(rf"CREATE (?:TEMP(?:ORARY)? )?{_TRIGGER}", Kind.CREATE, what="trigger"),
    _phrase(r"VACUUM\b.*", Kind.VACUUM),
    _phrase(rf"REINDEX(?: {NAME})?", Kind.READ),
    _phrase(rf"CREATE VIRTUAL TABLE (?:IF NOT EXISTS )?(?P<table>{NAME}) .*", Kind.CREATE_TABLE),
)
POSTGRES = (
    _phrase(rf"CREATE (?:OR REPLACE )?(?:CONSTRAINT )?{_TRIGGER}", Kind.CREATE, what="trigger"),
    _phrase(
        rf"CREATE (?:OR REPLACE )?POLICY (?P<name>{IDENTIFIER}) ON (?P<table>{NAME})\b.*", Kind.CREATE, what="policy"
    ),
    _phrase(rf"CREATE (?:OR REPLACE )?(?P<what>{_UNSEEN}) (?:IF NOT EXISTS )?(?P<name>{NAME})\b.*", Kind.CREATE),
    _phrase(
        rf"DROP (?P<what>{_UNSEEN}) (?:IF EXISTS )?(?P<name>{NAME})\b"
        rf"(?: ON (?P<table>{NAME}))?.*?(?P<cascade> CASCADE)?",
        Kind.DROP,
    ),
    _phrase(r"(?:DROP|REASSIGN) OWNED BY .*", Kind.DROP, what="owned"),
    _phrase(rf"ALTER TYPE (?P<name>{NAME}) ADD VALUE (?:IF NOT EXISTS )?'[^']*'.*", Kind.ADD_VALUE),
    _phrase(rf"ALTER TYPE (?P<name>{NAME}) RENAME (?:VALUE|ATTRIBUTE) .* TO .*", Kind.RENAME, what="value of the type"),
    _phrase(rf"ALTER SCHEMA (?P<name>{NAME}) RENAME TO (?P<to>{NAME})", Kind.RENAME, what="schema"),
    _phrase(rf"ALTER (?P<what>TYPE|VIEW|SEQUENCE) (?P<name>{NAME}) RENAME TO (?P<to>{NAME})", Kind.RENAME),
    Phrase(re.compile(r"(?:GRANT|ALTER\s+DEFAULT\s+PRIVILEGES)\b.*", re.IGNORECASE | re.DOTALL), _granted),
    _phrase(r"ALTER (?:SEQUENCE|FUNCTION|EXTENSION|ROLE|POLICY|DEFAULT|INDEX|VIEW)\b.*", Kind.READ),
    _phrase(
        rf"VACUUM (?:FULL|\((?=[^)]*\bFULL\b)[^()]*\))(?: VERBOSE)?(?: (?P<table>{NAME}))?", Kind.REWRITE, "vacuum"
    ),
    _phrase(r"VACUUM\b.*", Kind.VACUUM),
    _phrase(rf"CLUSTER(?: VERBOSE)?(?: (?P<table>{NAME}))?(?: USING {NAME})?", Kind.REWRITE),
    _phrase(
        r"REINDEX (?:\(.*\) )?(?:(?P<of>INDEX)|TABLE|SCHEMA|DATABASE|SYSTEM) (?P<concurrently>CONCURRENTLY )?"
        rf"(?P<table>{NAME})",
        Kind.REINDEX,
    ),
    _phrase(
        rf"LOCK (?:TABLE )?(?:ONLY )?(?P<tables>{NAMES})"
        rf"(?: IN (?P<what>{_LOCKS}|SHARE|EXCLUSIVE|ACCESS\s+EXCLUSIVE) MODE)?(?: NOWAIT)?",
        Kind.LOCK,
        what=EXCLUSIVE,
    ),
    _phrase(
        rf"REFRESH MATERIALIZED VIEW (?P<concurrently>CONCURRENTLY )?(?P<table>{NAME})(?: WITH (?:NO )?DATA)?",
        Kind.REFRESH,
    ),
    _phrase(r"SET (?:LOCAL |SESSION )?(?P<name>[\w.]+)\s*(?:=|\bTO\b).*", Kind.SET),
    _phrase(r"SELECT (?:pg_catalog\.)?set_config\s*\(\s*'(?P<name>[\w.]+)'.*", Kind.SET),
    _phrase(r"(?:NOTIFY|RESET|DISCARD|ANALYZE|SECURITY LABEL)\b.*", Kind.READ),
)

_CONSTRAINT = rf"ADD (?:CONSTRAINT (?P<name>{IDENTIFIER}) )?"
_COLUMN = rf"ALTER (?:COLUMN )?(?P<name>{IDENTIFIER})"
POSTGRES_ALTER = (
    _phrase(
        rf"{_CONSTRAINT}(?P<what>UNIQUE|PRIMARY KEY) USING INDEX {IDENTIFIER}\b.*", Kind.ADD_CONSTRAINT, "using_index"
    ),
    _phrase(
        rf"{_CONSTRAINT}(?P<what>NOT NULL) {IDENTIFIER}(?P<not_valid> NOT VALID)?(?: NO INHERIT)?", Kind.ADD_CONSTRAINT
    ),
    _phrase(rf"VALIDATE CONSTRAINT (?P<name>{IDENTIFIER})", Kind.VALIDATE_CONSTRAINT),
    _phrase(rf"SET SCHEMA (?P<to>{IDENTIFIER})", Kind.RENAME_TABLE, "moved"),
    _phrase(r"SET (?:LOGGED|UNLOGGED|TABLESPACE .*|ACCESS METHOD .*)", Kind.REWRITE),
    _phrase(rf"{_COLUMN} SET EXPRESSION .*", Kind.REWRITE),
    _phrase(r"(?:SET|RESET)\s*\(.*\)", Kind.ALTER_TABLE, what=SHARE_UPDATE),
    _phrase(rf"{_COLUMN} SET (?:STATISTICS .*|\(.*\))", Kind.ALTER_TABLE, what=SHARE_UPDATE),
    _phrase(r"(?:CLUSTER ON .*|SET WITHOUT CLUSTER|ATTACH PARTITION .*)", Kind.ALTER_TABLE, what=SHARE_UPDATE),
    _phrase(r"DETACH PARTITION .* (?:CONCURRENTLY|FINALIZE)", Kind.ALTER_TABLE, "concurrently", what=SHARE_UPDATE),
    _phrase(r"(?P<disabled>DISABLE) TRIGGER (?P<name>.*)", Kind.ALTER_TABLE, what=SHARE_ROW),
    _phrase(r"ENABLE (?:(?:REPLICA|ALWAYS) )?TRIGGER .*", Kind.ALTER_TABLE, what=SHARE_ROW),
    _phrase(
        r"(?:ENABLE|DISABLE|FORCE|NO FORCE) (?P<row_security>ROW LEVEL SECURITY)", Kind.ALTER_TABLE, what=EXCLUSIVE
    ),
    _phrase(
        rf"(?:RENAME CONSTRAINT|ALTER CONSTRAINT|DETACH PARTITION|OWNER TO|ENABLE|DISABLE|FORCE|NO FORCE|INHERIT"
        rf"|NO INHERIT|REPLICA IDENTITY|OF|NOT OF"
        rf"|{_COLUMN} (?:RESTART|(?:SET|ADD|DROP) (?:STORAGE|COMPRESSION|GENERATED|IDENTITY|EXPRESSION)))\b.*",
        Kind.ALTER_TABLE,
        what=EXCLUSIVE,
    ),
)

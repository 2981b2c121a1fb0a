"""
A migration file becomes a Migration: sections, options, statements with their lines, checksum. Runs no SQL.

The form is dbmate's, one file with `-- migrate:up` and `-- migrate:down`, and our `-- migrate:verify`.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.duration import seconds
from runner.config.model import Ignore, Migration
from runner.config.statements import first_keyword, line_comments, nested_comment, split
from runner.config.wording import choose, closest, plain, shown
from runner.config.yamlfile import Unreadable, conflict, contents, decoded
from runner.errors import Problem, Where

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.config.model import Statement

SECTIONS = ("up", "down", "verify")
TRANSACTION_CONTROL = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"})

_NAME = re.compile(r"(?P<version>[0-9]+)_(?P<name>.+)\.sql")
_MARKER = re.compile(r"^[ \t]*--[ \t]*migrate[ \t]*:[ \t]*(?P<section>[^\s:]*)(?P<options>.*)$")
_IGNORE = re.compile(r"lint[ \t]*:[ \t]*ignore\b[ \t]*(?P<code>\S*?):?(?:\s+(?P<reason>.*))?", re.DOTALL)
_FLAG = {"true": True, "false": False}


class Section(NamedTuple):
    """A part of a migration file: its name, the line of its marker, its options as written, and its text."""

    name: str
    line: int
    options: tuple[str, ...]
    text: str


class InvalidMigration(Exception):
    """A migration file that is not valid, with every problem found in it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def migration_files(paths: Iterable[Path]) -> list[Path]:
    """Return those of *paths* that should be migrations, by number; names that start with a dot are left out."""
    files = [path for path in paths if path.suffix == ".sql" and not path.name.startswith(".")]
    return sorted(files, key=_order)


def duplicate_versions(files: Iterable[tuple[Path, str]]) -> Iterator[Problem]:
    """Yield a problem for each file, given with the name that messages call it, whose number another has before it."""
    seen: dict[int, str] = {}
    for path, file in files:
        named = _NAME.fullmatch(path.name)
        if not named:
            continue
        first = seen.setdefault(int(named["version"]), file)
        if first != file:
            what = f"migration {named['version']} is there twice: {first} has this number too"
            yield Problem(what, Where(file), "give the newer one the next free number")


def read_migration(path: Path, file: str, engine: str = "sqlite") -> Migration:
    """
    Return the Migration in the file at *path*, which messages call *file*; InvalidMigration tells every problem.

    *engine* says how SQL is cut into statements.
    """
    named = _NAME.fullmatch(path.name)
    try:
        raw = contents(path, file)
        if named is None:
            fix = "call it NNNN_name.sql, such as 0004_add_an_index.sql, or move it elsewhere"
            raise InvalidMigration([Problem(f"{plain(path.name)} is not a migration's name", Where(file), fix)])
        text = _normalised(decoded(raw, file))
    except Unreadable as error:
        raise InvalidMigration([error.problem]) from None
    if problem := conflict(text, file):
        raise InvalidMigration([problem])
    return _Reading(file, text, engine).migration(named["version"], named["name"], checksum(raw))


def checksum(raw: bytes) -> str:
    """Return `sha256:` and the digest of *raw* with LF as line ends, so that how it was checked out does not count."""
    return "sha256:" + hashlib.sha256(raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).hexdigest()


def _normalised(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _order(path: Path) -> tuple[float, str]:
    named = _NAME.fullmatch(path.name)
    return (int(named["version"]) if named else float("inf")), path.name


class _Reading:
    """One file being read; collects its problems."""

    def __init__(self, file: str, text: str, engine: str) -> None:
        self._file = file
        self._text = text
        self._engine = engine
        self._problems: list[Problem] = []

    def migration(self, version: str, name: str, digest: str) -> Migration:
        sections = self._sections()
        statements = {part: self._statements(sections.get(part)) for part in SECTIONS}
        options = self._options(sections.get("up"))
        self._check(sections, statements, in_transaction=options.get("in_transaction", True))
        if self._problems:
            raise InvalidMigration(self._problems)
        up, down, verify = (statements[part] for part in SECTIONS)
        ignores = tuple(self._ignores(sections, statements))
        return Migration(version, name, Path(self._file), digest, up, down, verify, **options, ignores=ignores)

    def _refuse(self, what: str, line: int | None, fix: str) -> None:
        self._problems.append(Problem(what, Where(self._file, line), fix))

    def _sections(self) -> dict[str, Section]:
        head, *parts = self._parts()
        if (first := first_keyword(head.text)) is not None:
            line = head.text[: first.start()].count("\n") + 1
            self._refuse("a statement stands before the first section", line, "put it below `-- migrate:up`")
        sections: dict[str, Section] = {}
        for part in parts:
            self._take(part, sections)
        return sections

    def _parts(self) -> list[Section]:
        """Cut the text at its markers; the first part is what stands before them all."""
        lines = self._text.split("\n")
        markers = [(number, found) for number, line in enumerate(lines) if (found := _MARKER.match(line))]
        begins = [number for number, _ in markers] + [len(lines)]
        parts = [Section("", 1, (), "\n".join(lines[: begins[0]]))]
        for (number, found), end in zip(markers, begins[1:], strict=True):
            text = "\n".join(lines[number + 1 : end])
            parts.append(Section(found["section"], number + 1, tuple(found["options"].split()), text))
        return parts

    def _take(self, part: Section, sections: dict[str, Section]) -> None:
        if part.name not in SECTIONS:
            self._refuse(f"there is no section migrate:{plain(part.name)}", part.line, choose(part.name, SECTIONS))
        elif part.name in sections:
            first = sections[part.name].line
            self._refuse(
                f"the section migrate:{part.name} stands here again, and first in line {first}",
                part.line,
                "put the statements of both into one",
            )
        else:
            sections[part.name] = part

    def _statements(self, section: Section | None) -> tuple[Statement, ...]:
        if section is None:
            return ()
        if self._engine == "postgres" and (nested := nested_comment(section.text, section.line + 1)) is not None:
            self._refuse("a comment begins inside of another comment", nested, "take the inner one out")
        statements = tuple(split(section.text, section.line + 1, self._engine))
        for statement in statements:
            keyword = first_keyword(statement.sql)
            if keyword and keyword.group().upper() in TRANSACTION_CONTROL:
                self._refuse(
                    f"{keyword.group().upper()} stands in a migration: the runner begins and ends the transaction",
                    statement.line,
                    "remove it; if the statement cannot run in a transaction, write `-- migrate:up transaction:false`",
                )
        return statements

    def _ignores(self, sections: dict[str, Section], statements: dict[str, tuple[Statement, ...]]) -> Iterator[Ignore]:
        """Yield what the lint is told to ignore; a comment is for the statement around or below it."""
        head = self._parts()[0]
        yield from _ignores_in(head.text, head.line, self._engine)
        for part, section in sections.items():
            begins = [each.line for each in statements[part]]
            for found in _ignores_in(section.text, section.line + 1, self._engine):
                number = bisect_right(begins, found.line)
                yield found._replace(
                    statement=_statement_at(found.line, statements[part][max(0, number - 1) : number + 1])
                )

    def _options(self, up: Section | None) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for option in up.options if up else ():
            name, _, text = option.partition(":")
            if name not in _OPTIONS:
                meant = closest(name, _OPTIONS)
                fix = f"did you mean {meant}?" if meant else "remove it"
                self._refuse(f"there is no option {plain(option)}", up.line if up else None, fix)
                continue
            field, read, wanted = _OPTIONS[name]
            try:
                values[field] = read(text)
            except (KeyError, ValueError):
                self._refuse(f"the option {name} is {shown(text)}", up.line if up else None, f"write {wanted}")
        return values

    def _check(
        self, sections: dict[str, Section], statements: dict[str, tuple[Statement, ...]], *, in_transaction: bool
    ) -> None:
        up = sections.get("up")
        for part in sections.values():
            if part.name != "up" and part.options:
                what = f"the section migrate:{part.name} has an option: {plain(' '.join(part.options))}"
                self._refuse(what, part.line, "options belong on the line of migrate:up")
        if up is None:
            self._refuse("there is no section migrate:up", None, "begin the file with `-- migrate:up`")
        elif not statements["up"]:
            self._refuse("the section migrate:up holds no statement", up.line, "write one, or delete the file")
        elif not in_transaction:
            self._check_alone(up.line, len(statements["up"]), verified=bool(statements["verify"]))

    def _check_alone(self, line: int, count: int, *, verified: bool) -> None:
        """A statement outside of a transaction may be half done after a crash: only verify can tell."""
        if count > 1:
            fix = "leave one, and put the others into migrations of their own"
            self._refuse(f"transaction:false with {count} statements", line, fix)
        if not verified:
            fix = "add one that tells after a crash whether the statement was done"
            self._refuse("transaction:false without a section migrate:verify", line, fix)


def _ignores_in(text: str, line: int, engine: str) -> Iterator[Ignore]:
    if "lint" not in text:  # as in most files: they are not worth a second reading
        return
    for number, comment in line_comments(text, line, engine):
        if found := _IGNORE.fullmatch(comment):
            yield Ignore(found["code"], (found["reason"] or "").strip(), number, None)


def _statement_at(line: int, statements: Iterable[Statement]) -> int:
    """Return where the first of *statements* begins that does not end before *line*; *line* where there is none."""
    return next((each.line for each in statements if line <= each.line + each.sql.count("\n")), line)


_OPTIONS: dict[str, tuple[str, Any, str]] = {
    "transaction": ("in_transaction", _FLAG.__getitem__, "transaction:true or transaction:false"),
    "lock_timeout": ("lock_timeout_s", seconds, "a duration with its unit, such as lock_timeout:3s"),
    "destructive": ("destructive", _FLAG.__getitem__, "destructive:true or destructive:false"),
}
"""An option's name: the field of Migration it sets, how its text is read, and what may be written."""

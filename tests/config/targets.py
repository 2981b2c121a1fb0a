"""
What hostile input is thrown at: each target takes bytes, and fails on anything but an error of ours.

`test_fuzz.py` throws what hypothesis makes up, `fuzz.py` what covers new code (`make fuzz`).
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import sqlite3
import tempfile
from contextlib import suppress
from datetime import timedelta
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from runner.act.revert import dropped
from runner.config.checks.providers import is_http
from runner.config.database import NotADatabase, engine_of
from runner.config.duration import seconds
from runner.config.faults import VARIABLE, ordered
from runner.config.load import load
from runner.config.model import Environment, Rollout
from runner.config.secret import masked, without_secrets
from runner.config.sqlfile import InvalidMigration, read_migration
from runner.config.statements import BLANKS, split
from runner.config.substitute import Unset, filled
from runner.config.wording import visible
from runner.config.yamlfile import Unreadable, decoded, parse
from runner.engine import planfile
from runner.errors import InvalidConfig, RunnerError
from runner.store import rehearsed
from runner.store.digest import canonical, of_text
from runner.store.snapshot import Shelf, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
FILES = ("config/rollout.yaml", "config/providers.yaml", "config/caches.yaml", "sql/sqlite/0002_provider_states.sql")
SECRET = "s3cr3t-0dds"  # noqa: S105  planted, to be looked for
ID = "20260802T120000Z-0a1b"


@cache
def folder() -> Path:
    """Return a copy of the bundled rollout to spoil, in memory where there is such a place."""
    shm = "/dev/shm"  # noqa: S108  the folder made in it is ours alone
    made = Path(tempfile.mkdtemp(prefix="runner-fuzz-", dir=shm if os.access(shm, os.W_OK) else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    for name in ("config", "sql"):
        shutil.copytree(ROOT / name, made / name)
    return made


def text_of(data: bytes) -> str:
    """Return *data* as text: UTF-8, and what is none as lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def config(data: bytes) -> None:
    """Load the bundled rollout with one of its files replaced; the first byte says which."""
    file = FILES[data[0] % len(FILES)] if data else FILES[0]
    spoilt(file, data[1:])


def spoilt(file: str, content: bytes, environ: dict[str, str] | None = None) -> Rollout | None:
    """Load the bundled rollout with *file* replaced by *content*; None where that was refused, as it has to be."""
    path = folder() / file
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        return loaded(folder() / "config/rollout.yaml", environ or {})
    finally:
        path.write_bytes(before)


def loaded(path: Path, environ: dict[str, str]) -> Rollout | None:
    """Load *path*; what is refused has to be refused well, and what is taken can be written down."""
    try:
        rollout = load(path, None, environ)
    except InvalidConfig as refused:
        told(refused)
        return None
    json.dumps(rollout.declared).encode()
    assert rollout.digest.startswith("sha256:")
    assert not any(CONTROL.search(name) for name in rollout_names(rollout))
    for stage in rollout.stages:
        assert stage.ticks >= 1
    return rollout


CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def rollout_names(rollout: Rollout) -> list[str]:
    """Return every name and key that is shown to people."""
    names = [rollout.name, *rollout.sports, *(entry.key for entry in rollout.caches)]
    return names + [thing.name for things in (rollout.providers, rollout.stages, rollout.criteria) for thing in things]


def told(refused: RunnerError) -> None:
    """Check that *refused* says something that a person can act on."""
    assert refused.problems
    assert len(refused.problems) < 2000
    for problem in refused.problems:
        assert problem.where is not None
        assert problem.fix
        assert visible(str(problem)) == str(problem) or not isinstance(refused, InvalidConfig)
        assert len(str(problem)) < 20_000
    str(refused).encode()


def yaml(data: bytes) -> None:
    """Parse *data* as a YAML file; every problem has a place in it."""
    try:
        text = decoded(data, "f")
    except Unreadable as refused:
        told(InvalidConfig(refused.problem))
        return
    document = parse(text, "f")
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", text)
    for problem in document.problems:
        assert problem.where is not None
        assert (problem.where.line or 1) <= len(lines) + 1


def migration(data: bytes) -> None:
    """Read *data* as a migration file."""
    path = folder() / "0001_a.sql"
    path.write_bytes(data)
    try:
        read = read_migration(path, "f")
    except InvalidMigration as refused:
        told(InvalidConfig(*refused.problems))
        return
    assert read.up


def statements(data: bytes) -> None:
    """Cut *data* as SQL: nothing is lost, lines are right, and every cut is one that SQLite would make."""
    text = data.decode("utf-8", "replace").replace("\0", "")
    place = 0
    for statement in split(text):
        found = past_nothing(text, place)
        assert statement.sql
        assert text.startswith(statement.sql, found)
        assert statement.line == text.count("\n", 0, found) + 1
        place = found + len(statement.sql)
        if text[place:].strip(f"{BLANKS};") and not EXPLAINED.match(statement.sql):  # the last one may have no end
            assert sqlite3.complete_statement(statement.sql)
    assert nothing(text[place:])


EXPLAINED = re.compile("explain", re.IGNORECASE)
_NOTHING = re.compile(r"(?>[ \t\r\n\f;]|--[^\n]*+|/\*(?s:.*?)(?:\*/|\Z))*")


def nothing(text: str) -> bool:
    """Say whether *text* is nothing but blanks, comments and semicolons."""
    return _NOTHING.fullmatch(text) is not None


def past_nothing(text: str, place: int) -> int:
    """Return where in *text*, from *place* on, the first thing stands that is no blank, comment or semicolon."""
    found = _NOTHING.match(text, place)
    return found.end() if found else place


def duration(data: bytes) -> None:
    """Read *data* as a duration: a span that a timestamp can be put forward by, or ValueError."""
    with suppress(ValueError):
        found = seconds(text_of(data))
        assert isfinite(found)
        assert found > 0
        timedelta(seconds=found)


def substitution(data: bytes) -> None:
    """Put variables into *data*: what is in the environment is there once for each, or told without its value."""
    text = text_of(data)
    try:
        result = filled(text, {"SECRET": SECRET, "EMPTY": "", "A": "${SECRET}", "B": "\udcff"})
    except Unset as refused:
        result = f"{refused} {refused.fix}"
    assert text.count("SECRET") + text.count(SECRET) >= result.count(SECRET)


def drop(data: bytes) -> None:
    """Ask what *data*, a statement, drops: it has a kind and a name, or is none."""
    found = dropped(text_of(data))
    assert found is None or found.partition(" ")[0] in {"table", "index", "view", "trigger"}


def faults(data: bytes) -> None:
    """Read *data* as orders to the stand-in."""
    found, problems = ordered(text_of(data), ("draftkings", "fanduel"), ("dark_mode",))
    assert all(fault.provider in {"*", "draftkings", "fanduel"} for fault in found) or problems
    assert all(problem.where and problem.where.file == VARIABLE and problem.fix for problem in problems)


def address(data: bytes) -> None:
    """Look at *data* as an address: a secret that is put into it never comes out."""
    text = re.sub("[\t\r\n]", "", text_of(data)).replace(SECRET, "")
    is_http(text)
    with suppress(NotADatabase):
        engine_of(text)
    masked(text)
    for url in (f"https://u:{SECRET}@{text}", f"https://h/?{text}={SECRET}", f"https://h/?k={SECRET}{text}"):
        assert SECRET not in masked(url)
        assert SECRET not in stored(url)
    assert SECRET not in stored(text + SECRET) or text.endswith("://") or hosts(text)


def hosts(text: str) -> bool:
    """Say whether what follows *text* may be part of a host's name, or of a variable's; neither is a secret."""
    return bool(re.search(r"(//[^/?#]*|\$\{\w*)$", text))


def stored(url: str) -> str:
    """Return what the ledger keeps of a provider whose endpoint is *url*."""
    provider = {"name": "a", "endpoint": url, "headers": {"X": url}}
    declared = {"rollout": {"environments": {}}, "providers": {"providers": [provider]}, "caches": {}}
    return str(without_secrets(declared))


def plan(data: bytes) -> None:
    """Read *data* as a plan; once as it is, and once with its checksum made right."""
    path = folder() / "plan.json"
    for content in (data, righted(data, planfile.canonical_in_order)):
        path.write_bytes(content)
        planfile.is_plan(path)
        try:
            saved = planfile.read(path)
        except RunnerError as refused:
            told(refused)
            continue
        assert isinstance(saved.config, Path)
        try:
            saved.refuse_other_config(bundled(), "0")
        except RunnerError as refused:
            told(refused)


def manifest(data: bytes) -> None:
    """Read *data* as the manifest of a snapshot; once as it is, and once with its checksum made right."""
    shelf = Shelf(folder() / "snapshots")
    shelf.folder.mkdir(exist_ok=True)
    for content in (data, righted(data, canonical)):
        (shelf.folder / f"{ID}.json").write_bytes(content)
        try:
            snapshot = shelf.read(ID)
            shelf.check(snapshot)
        except RunnerError as refused:
            told(refused)
        else:
            assert snapshot.id == ID
        shelf.all()


def rehearsal(data: bytes) -> None:
    """Read *data* as what a rehearsal left; once as it is, and once with its checksum made right."""
    rollout = bundled()
    path = rehearsed._path(rollout)
    path.parent.mkdir(parents=True, exist_ok=True)
    for content in (data, righted(data, canonical)):
        path.write_bytes(content)
        rehearsed.found(rollout)


@cache
def bundled() -> Rollout:
    """Return the bundled rollout, with its database in the folder that is spoilt."""
    rollout = load(ROOT / "config/rollout.yaml", None, {})
    place = Environment("local", f"sqlite:///{folder()}/rollout.db", "sqlite")
    return rollout._replace(environment=place)


def righted(data: bytes, write: Callable[[dict[str, object]], str]) -> bytes:
    """Return *data* with the checksum that it should have, where it is a JSON object; else as it is."""
    try:
        said = json.loads(data)
        said.pop("checksum", None)
        said = {**said, "checksum": of_text(canonical(said))}
        return write(said).encode()
    except (ValueError, AttributeError, TypeError, RecursionError):
        return data


TARGETS = {
    target.__name__: target
    for target in (
        config,
        yaml,
        migration,
        statements,
        duration,
        substitution,
        drop,
        faults,
        address,
        plan,
        manifest,
        rehearsal,
    )
}


def seeds(name: str) -> list[bytes]:
    """Return input that the target called *name* is familiar with, to begin from."""
    return [seed if isinstance(seed, bytes) else seed.encode() for seed in SEEDS[name]()]


def _configs() -> list[bytes]:
    """Return the bundled files, and every bad one that is kept as a test, each with the number of its place."""
    numbers = {Path(file).name: bytes([number]) for number, file in enumerate(FILES)}
    bad = sorted((Path(__file__).parent / "invalid").glob("*/config/*.yaml"))
    return [numbers[path.name] + path.read_bytes() for path in (*(ROOT / file for file in FILES), *bad)]


def _sql() -> list[bytes | str]:
    return [
        *(path.read_bytes() for path in sorted((ROOT / "sql/sqlite").glob("*.sql"))),
        "-- migrate:up transaction:false lock_timeout:3s destructive:true\nVACUUM;\n-- migrate:verify\nSELECT 1;",
        "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET n = 1; DELETE FROM b; END;",
        "DROP TABLE IF EXISTS main.\"a\"; DROP/**/VIEW [b]; DROP INDEX 'c''d'; drop trigger `e`",
    ]


def _plans() -> list[str]:
    inputs = {"runner": "0", "digest": "", "declared": {}, "migrations": {}, "database": "d"}
    steps = {"stands_at": "a", "target_stage": "b", "direction": "forward", "speed": 1, "faults": [], "steps": []}
    head = {"runner_plan": 1, "config": "c", "environment": "local", "target_stage": None}
    return [planfile.canonical_in_order({**head, "inputs": inputs, "position": {}, "plan": steps})]


def _manifests() -> list[str]:
    kinds = {"is_automatic": True, "ledger_version": "2", "tables": {"a": 1}, "size_bytes": 1}
    return [canonical({"version": 1, **dict.fromkeys(Snapshot._fields, "x"), **kinds, "id": ID})]


def _rehearsals() -> list[str]:
    proofs = [{"kind": "drill", "name": "dark_mode", "proved": False}]
    said = {"version": 1, "subject": rehearsed.subject(bundled()), "rehearsed_at": "2026-08-02T12:00:00Z"}
    return [canonical({**said, "passed": True, "proofs": proofs})]


SEEDS: dict[str, Callable[[], Sequence[bytes | str]]] = {
    "config": _configs,
    "yaml": lambda: [path.read_bytes() for path in sorted((ROOT / "config").glob("*.yaml"))],
    "migration": _sql,
    "statements": _sql,
    "drop": _sql,
    "duration": lambda: ["30s", "1h30m", "1500ms", "99999d999999h", "2d1h1m1s1ms"],
    "substitution": lambda: ["${SECRET}", "a${EMPTY:-b}c$${d}", "${A}${B}${C:-x}", "${" * 10],
    "faults": lambda: ["draftkings:fail@dark_mode,*:slow=1500ms", "fanduel:hang", "*:fail=503"],
    "address": lambda: ["https://odds.example:8443/a?b=c#d", "sqlite:////srv/a.db", "${A_URL:-}", "//[", "user:pw@h"],
    "plan": _plans,
    "manifest": _manifests,
    "rehearsal": _rehearsals,
}

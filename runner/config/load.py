"""
The door of this room: a path goes in, a checked Rollout comes out, or every problem at once.

Reads everything before it judges anything, and touches nothing but files.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config import build
from runner.config.checks import cross_check
from runner.config.checks.declared import Declared
from runner.config.criteria import criteria
from runner.config.database import NotADatabase, engine_of
from runner.config.document import NOTHING, Document
from runner.config.faults import VARIABLE, ordered
from runner.config.fence import FIX, leads_out, project_of
from runner.config.model import Rollout
from runner.config.node import root
from runner.config.secret import variable, without_secrets, written_out
from runner.config.shape import check_shape
from runner.config.sqlfile import InvalidMigration, duplicate_versions, migration_files, read_migration
from runner.config.substitute import substituted
from runner.config.wording import choose, plain, visible
from runner.config.yamlfile import read
from runner.errors import InvalidConfig, Problem, in_file_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from runner.config.document import Path as Place
    from runner.config.model import Fault, Migration
    from runner.config.node import Node

LOCAL = "local"
"""The environment that is meant where none is named."""


class _File(NamedTuple):
    """One of the three files: as it was declared, and with the environment's values put in."""

    declared: Document
    filled: Document


class Declaration(NamedTuple):
    """A rollout, and the files that declare it as they were read: by `rollout`, `providers` and `caches`."""

    rollout: Rollout
    documents: dict[str, Document]


class _Migrations(NamedTuple):
    """What the migrations' folder holds; `files` is what messages call them, in order."""

    migrations: tuple[Migration, ...] = ()
    files: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def load(
    path: Path,
    environment: str | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    allow_outside: bool = False,
) -> Rollout:
    """Return the rollout that the file at *path* declares; see `declaration`."""
    return declaration(path, environment, environ, allow_outside=allow_outside).rollout


def declaration(
    path: Path,
    environment: str | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    allow_outside: bool = False,
    called: Callable[[Path], str] | None = None,
    secrets_known: bool = True,
    environment_known: bool = True,
) -> Declaration:
    """
    Return the rollout that the file at *path* declares, for *environment* (None: local, or the only one).

    Unless *environment_known*, the default one stands for one that is not declared. *environ* is where `${NAME}` is
    looked up, for the chosen environment only. With *allow_outside* the paths in it may
    lead out of the project. *called* says what messages call a path. Who only reads a config needs no addresses: unless
    *secrets_known*, those whose variables are not set are no problem, and SQLite is the engine of a database that is
    not known. Raises InvalidConfig with every problem of every file, in file order. Where a problem is in a file's
    form, what depends on it is not guessed at.
    """
    fence = None if allow_outside else project_of(path)
    reading = _Reading(path, environ, fence, called or shown_path, secrets_known)
    main = read(path, reading.called(path))
    chosen = environment or _default_environment(main)
    if not environment_known and chosen not in root(main)["environments"].otherwise({}):
        chosen = _default_environment(main)
    rollout = reading.filled(main, "rollout", chosen)
    providers, caches = (reading.beside(rollout.filled, name) for name in ("providers", "caches"))
    problems = list(_unknown_environment(rollout.filled, chosen))
    engine, database_problems = _engine(rollout.filled, chosen)
    found = reading.migrations(rollout.filled, engine)
    declared = Declared(*(root(file.filled) for file in (rollout, providers, caches)))
    faults, fault_problems = ordered(environ.get(VARIABLE, ""), declared.provider_names, declared.stage_names)
    problems += [*database_problems, *found.problems, *fault_problems, *cross_check(declared)]
    problems += _unanswered(declared, chosen) if secrets_known else []
    documents = [rollout.filled, providers.filled, caches.filled]
    problems += [problem for document in documents for problem in document.problems]
    if problems:
        files = [document.file for document in documents]
        raise InvalidConfig(*in_file_order(problems, [*files, *found.files, VARIABLE]))
    complete = _rollout(path, (rollout, providers, caches), str(chosen), str(engine), faults, found.migrations)
    return Declaration(complete, dict(zip(("rollout", "providers", "caches"), documents, strict=True)))


def load_for(
    path: Path, environment: str | None = None, engine: str | None = None, *, allow_outside: bool = False
) -> Rollout:
    """
    Return the rollout that the file at *path* declares, with the migrations for *engine* (None: that of *environment*).

    The config has to be valid for *environment*; no secret is needed. An engine that no environment uses may have its
    migrations beside the others, in the folder that `{engine}` makes of their path.
    """
    found = declaration(path, environment, allow_outside=allow_outside, secrets_known=False)
    place = found.rollout.environment
    if engine is None or engine == place.engine:
        return found.rollout
    reading = _Reading(path, os.environ, None if allow_outside else project_of(path), shown_path)
    others = reading.migrations(found.documents["rollout"], engine)
    if others.problems:
        raise InvalidConfig(*in_file_order(others.problems, [found.documents["rollout"].file, *others.files]))
    return found.rollout._replace(migrations=others.migrations, environment=place._replace(engine=engine))


def shown_path(path: Path) -> str:
    """Return *path* as a person in the current folder would type it: relative where it is below, else absolute."""
    absolute, here = os.path.abspath(path), os.getcwd()  # noqa: PTH100, PTH109  resolve() would follow links
    return os.path.relpath(absolute, here) if absolute.startswith(here.rstrip(os.sep) + os.sep) else absolute


def digest(declared: dict[str, Any]) -> str:
    """Return `sha256:` and the digest of *declared* as canonical JSON: comments, format and order do not count."""
    text = json.dumps(declared, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def _default_environment(document: Document) -> str | None:
    """Return local, or the only environment there is; None where a person has to choose."""
    data = document.data if isinstance(document.data, dict) else {}
    environments = data.get("environments")
    if not isinstance(environments, dict) or LOCAL in environments:
        return LOCAL
    return next(iter(environments)) if len(environments) == 1 else None


def _unknown_environment(rollout: Document, environment: str | None) -> list[Problem]:
    environments = root(rollout)["environments"]
    if not isinstance(environments.value, dict) or not environments.value or environment in environments.value:
        return []
    if environment is None:
        what = f"there are {len(environments.value)} environments, and none of them is called {LOCAL}, the default"
        return [environments.key_problem(what, f"choose one by --env: {', '.join(map(plain, environments.value))}")]
    what = f"there is no environment called {plain(environment)}"
    return [environments.key_problem(what, choose(environment, environments.value))]


def _unanswered(declared: Declared, environment: str | None) -> Iterator[Problem]:
    """Yield who nobody would answer for where the stand-in is refused: no endpoint, no url."""
    if declared.rollout["environments"][environment]["stand_in"].value != "refused":
        return
    for provider in declared.providers["providers"].each():
        if provider["name"].known and provider["endpoint"].otherwise("") == "":
            what = f"{plain(provider['name'].value)} has no endpoint, and {environment} refuses the stand-in"
            yield provider["name"].problem(what, _answer(provider["endpoint"], "endpoint"))
    for _, category in declared.rollout["exit_criteria"].entries():
        for name, criterion in category.entries():
            if criterion["kind"].value == "http" and criterion["url"].value == "":
                what = f"{plain(name)} has no url, and {environment} refuses the stand-in"
                yield criterion["url"].problem(what, _answer(criterion["url"], "url"))


def _answer(address: Node, key: str) -> str:
    """Say how the empty *address* gets its value: by its variable, if it is one."""
    written = variable(str(address.document.shown(address.path, "")))
    name = written.strip("${}").removesuffix(":-") if written else None
    first = f"set {name}" if name else f"write the {key}"
    return f"{first}, or allow the stand-in: `stand_in: allowed`"


def _engine(rollout: Document, environment: str | None) -> tuple[str | None, list[Problem]]:
    """Return the engine of the chosen environment's database; None where that cannot be known."""
    database = root(rollout)["environments"][environment]["database"]
    if not isinstance(database.value, str):
        return None, []
    try:
        return engine_of(database.value), []
    except NotADatabase as error:
        return None, [database.problem(f"the database of {environment} {error}", error.fix)]


class _Reading(NamedTuple):
    """The reading of one config: where it is, and what it may reach."""

    path: Path
    environ: Mapping[str, str]
    fence: Path | None
    called: Callable[[Path], str]
    secrets_known: bool = True

    def filled(self, document: Document, name: str, environment: str | None = None) -> _File:
        """Put the variables into *document*, in `environments` only into the chosen one, and check its form."""

        def wanted(place: Place) -> bool:
            return place[:1] != ("environments",) or name != "rollout" or place[1:2] == (environment,)

        filled = substituted(document, self.environ, wanted, secrets_known=self.secrets_known)
        filled.broken |= {
            place for place, reference in document.references.items() if reference.unquoted and not wanted(place)
        }
        check_shape(filled, name)
        return _File(document, filled)

    def beside(self, rollout: Document, key: str) -> _File:
        """Read the file that *rollout* names at *key*. Where it names none, there is nothing to say of it."""
        named = root(rollout)[key]
        nothing = Document("", NOTHING, rollout.marks[:0])
        if not isinstance(named.value, str):
            return _File(nothing, nothing)
        target = self.path.parent / named.value
        if self.fence is not None and leads_out(target, self.fence):
            rollout.problems.append(self._outside(named, f"the file of the {key}", self.fence))
            return _File(nothing, nothing)
        return self.filled(read(target, self.called(target), named.where), key)

    def migrations(self, rollout: Document, engine: str | None) -> _Migrations:
        named = root(rollout)["migrations"]
        if engine is None or not isinstance(named.value, str):
            return _Migrations()
        folder = self.path.parent / named.value.replace("{engine}", engine)
        if self.fence is not None and leads_out(folder, self.fence):
            return _Migrations(problems=(self._outside(named, "the migrations folder", self.fence),))
        shown = os.path.normpath(self.called(folder))
        try:
            paths = migration_files(folder.iterdir())
        except (OSError, ValueError) as error:
            why = "does not exist" if isinstance(error, FileNotFoundError) else "is not a folder that can be read"
            what = f"the migrations folder {plain(self.called(folder))} {why}"
            return _Migrations(problems=(named.problem(what, "correct the path, or create the folder"),))
        named_paths = [(file, os.path.join(shown, file.name)) for file in paths]  # noqa: PTH118  it is text to be shown
        migrations: list[Migration] = []
        problems = list(duplicate_versions(named_paths))
        for file, name in named_paths:
            if self.fence is not None and file.is_symlink() and leads_out(file, self.fence):
                project = visible(self.called(self.fence))
                what = f"the migration {plain(name)} is a link that leads out of the project {project}"
                problems.append(named.problem(what, FIX))
                continue
            try:
                migrations.append(read_migration(file, name, engine))
            except InvalidMigration as error:
                problems.extend(error.problems)
        return _Migrations(tuple(migrations), tuple(name for _, name in named_paths), tuple(problems))

    def _outside(self, named: Node, what: str, fence: Path) -> Problem:
        return named.problem(f"{what} is outside of the project {visible(self.called(fence))}: {named.shown}", FIX)


def _rollout(
    path: Path,
    files: tuple[_File, _File, _File],
    environment: str,
    engine: str,
    faults: tuple[Fault, ...],
    migrations: tuple[Migration, ...],
) -> Rollout:
    data, providers, caches = (file.filled.data for file in files)
    declared = {name: file.declared.data for name, file in zip(("rollout", "providers", "caches"), files, strict=True)}
    return Rollout(
        name=data["name"],
        path=path,
        environment=build.environment(environment, data["environments"][environment], engine),
        sports=tuple(providers["sports"]),
        providers=build.providers(providers),
        caches=build.cache_entries(caches),
        lookups=tuple(build.lookups(caches)),
        metrics=build.metrics(data["metrics"]),
        stages=build.stages(data["stages"], data["thresholds"], data["metrics"]),
        rollback=build.rollback(data.get("rollback", {})),
        probe=build.probe_settings(data.get("probe", {})),
        faults=build.faults(data.get("stand_in", {}).get("faults", [])) + faults,
        migrations=migrations,
        criteria=tuple(criteria(data.get("exit_criteria", {}))),
        snapshots=build.snapshots(data.get("snapshots", {})),
        declared=without_secrets(declared),
        digest=digest(declared),
        keep_details_s=build.keep_details_s(data.get("ledger", {})),
        reassessed=build.reassessed(data.get("review", {})),
        written_out=written_out(declared),
    )

"""
Snapshots as files: a copy of tables and, written last, the manifest that says what is in it and whether it is whole.

A snapshot without a manifest does not exist: it was cut short, and is cleared away by whoever comes next. Knows
files and no database.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import Mismatch, Problem, RunnerError, StepFailed, Where
from runner.store.digest import canonical, from_file, of_text
from runner.store.ids import ids

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime
    from pathlib import Path

FORM = 1
ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}")
WRITERS = ".writing"
"""Whoever writes a snapshot holds this file; while nobody does, what has no manifest is left over from a kill."""
DAMAGED = "take another: `runner snapshot --list` names them"


class Snapshot(NamedTuple):
    """
    What a manifest says: which snapshot this is, of which database, taken when and why, and how to tell it is whole.

    `stage` is where the rollout stood. `tables` has the rows of each table; `is_automatic` lets the policy remove it.
    """

    id: str
    created_at: str
    reason: str
    is_automatic: bool
    rollout: str
    environment: str
    stage: str
    engine: str
    database_id: str
    ledger_version: str
    runner_version: str
    tables: dict[str, int]
    size_bytes: int
    sha256: str

    @property
    def rows(self) -> int:
        """How many rows it holds in all."""
        return sum(self.tables.values())


class Shelf:
    """The folder in which the snapshots of a database stand. It is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def copy_of(self, snapshot: Snapshot) -> Path:
        """Return where the copied tables of *snapshot* are."""
        return self.folder / f"{snapshot.id}.db"

    @contextmanager
    def writing(self, at: datetime) -> Iterator[tuple[str, Path]]:
        """Give the id of a new snapshot and an empty file (0600) for its tables; removed where the block fails."""
        with self._in_files(), self._as_writer():
            snapshot_id, path = self._empty_file(at)
            try:
                yield snapshot_id, path
            except BaseException:
                for name in (path, self._manifest(snapshot_id), self._manifest(snapshot_id, ".part")):
                    with suppress(OSError):
                        name.unlink(missing_ok=True)
                raise

    def _empty_file(self, at: datetime) -> tuple[str, Path]:
        """Make the file of a snapshot, and return it with an id that no other has."""
        for snapshot_id in ids(at):
            path = self.folder / f"{snapshot_id}.db"
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                return snapshot_id, path
        raise AssertionError  # there is always another id

    def put(self, snapshot: Snapshot) -> Snapshot:
        """Bring the tables of *snapshot* to the disk, and write its manifest with their size and digest."""
        with self.copy_of(snapshot).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
            size_bytes = os.fstat(file.fileno()).st_size
        snapshot = snapshot._replace(size_bytes=size_bytes, sha256=f"sha256:{digest}")
        said = {"version": FORM, **snapshot._asdict()}
        temporary = self._manifest(snapshot.id, ".part")
        number = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump({**said, "checksum": of_text(canonical(said))}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._manifest(snapshot.id))
        _sync_folder(self.folder)
        return snapshot

    def all(self) -> tuple[list[Snapshot], list[Problem]]:
        """Return every snapshot, newest first, and what is wrong with those that cannot be used."""
        found: list[Snapshot] = []
        problems: list[Problem] = []
        for snapshot_id in self._ids():
            try:
                snapshot = self.read(snapshot_id)
                self._check_size(snapshot)
                found.append(snapshot)
            except RunnerError as failure:
                problems += failure.problems
        return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True), problems

    def _ids(self) -> list[str]:
        """Return what has a manifest, by name; OSError where the folder cannot be read: that is not an empty one."""
        try:
            return sorted(path.stem for path in self.folder.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            return []

    def has(self, snapshot_id: str) -> bool:
        """Say whether there is a snapshot of that id, in whatever state."""
        return ID.fullmatch(snapshot_id) is not None and self._manifest(snapshot_id).exists()

    def read(self, snapshot_id: str) -> Snapshot:
        """Return what the manifest of a snapshot says; Mismatch where it was damaged, or is of a newer form."""
        path = self._manifest(snapshot_id)
        try:
            said = from_file(path.read_bytes())
            checksum = said.pop("checksum", None)
            version = said.pop("version")
        except (ValueError, OSError, KeyError) as error:
            raise Mismatch(
                Problem(f"the manifest of snapshot {snapshot_id} cannot be read", Where(str(path)), DAMAGED)
            ) from error
        if isinstance(version, int) and version > FORM:
            raise Mismatch(
                Problem(
                    f"snapshot {snapshot_id} has form {version}, this runner knows form {FORM}"
                    f" (it was written by runner {said.get('runner_version')})",
                    Where(str(path)),
                    "use that version of runner, or a newer one",
                )
            )
        is_whole = checksum == of_text(canonical({"version": version, **said})) and _has_form(said)
        if not is_whole or said["id"] != snapshot_id:
            what = f"snapshot {snapshot_id} is damaged: its manifest is not as it was written"
            raise Mismatch(Problem(what, Where(str(path)), DAMAGED))
        return Snapshot(**said)

    def check(self, snapshot: Snapshot) -> None:
        """Read the tables of *snapshot* to the end; Mismatch where they are not as they were written."""
        self._check_size(snapshot)
        path = self.copy_of(snapshot)
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise Mismatch(_damaged(snapshot, path, f"its file cannot be read: {error.strerror}")) from error
        if f"sha256:{digest}" != snapshot.sha256:
            raise Mismatch(_damaged(snapshot, path, "its file is not as it was written (SHA-256)"))

    def _check_size(self, snapshot: Snapshot) -> None:
        """Make sure that the file is there, and whole as far as that costs nothing to see."""
        path = self.copy_of(snapshot)
        try:
            size_bytes = path.stat().st_size
        except OSError as error:
            raise Mismatch(_damaged(snapshot, path, f"its file cannot be read: {error.strerror}")) from error
        if size_bytes != snapshot.size_bytes:
            raise Mismatch(_damaged(snapshot, path, f"it has {size_bytes:,} bytes instead of {snapshot.size_bytes:,}"))

    def remove(self, snapshot_id: str) -> None:
        """Remove a snapshot, its manifest first: what is left after a kill is cleared away later."""
        with self._in_files():
            self._manifest(snapshot_id).unlink(missing_ok=True)
            (self.folder / f"{snapshot_id}.db").unlink(missing_ok=True)

    def prune(self, database_id: str, keep: int, spare: Collection[str] = ()) -> list[Snapshot]:
        """Remove the automatic snapshots of a database but the newest *keep* and *spare*; return what was removed."""
        ours = [each for each in self.all()[0] if each.is_automatic and each.database_id == database_id]
        old = [each for each in ours[keep:] if each.id not in spare]
        for each in old:
            self.remove(each.id)
        return old

    def _manifest(self, snapshot_id: str, suffix: str = "") -> Path:
        return self.folder / f"{snapshot_id}.json{suffix}"

    @contextmanager
    def _as_writer(self) -> Iterator[None]:
        """Hold the writers' file for the block; the only one to do so clears away what a kill has left behind."""
        for folder in (*reversed(self.folder.parents), self.folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        number = os.open(self.folder / WRITERS, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            with suppress(BlockingIOError):
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._clear_away()
            fcntl.flock(number, fcntl.LOCK_SH)
            yield
        finally:
            os.close(number)

    def _clear_away(self) -> None:
        for path in (*self.folder.glob("*.db"), *self.folder.glob("*.json.part")):
            snapshot_id = path.name.partition(".")[0]
            if ID.fullmatch(snapshot_id) and not self._manifest(snapshot_id).exists():
                path.unlink(missing_ok=True)

    @contextmanager
    def _in_files(self) -> Iterator[None]:
        """Turn what the file system says inside the block into a problem that says what to do."""
        try:
            yield
        except OSError as error:
            what = f"the snapshot could not be written: {error.strerror}"
            where = Where(str(error.filename or self.folder))
            raise StepFailed(Problem(what, where, ADVICE)) from error


ADVICE = (
    "make room, or name a folder that can be written to (`snapshots: {folder: …}`), and run the same command again;"
    " nothing was changed. A run goes without one where it says `snapshots: {before_run: false}`"
)


def _has_form(said: dict[str, Any]) -> bool:
    """Say whether *said* has every field of a Snapshot, of its kind, and no other."""
    if said.keys() != set(Snapshot._fields):
        return False
    kinds = {"is_automatic": bool, "size_bytes": int, "tables": dict}
    tables = said["tables"]
    return (
        all(isinstance(value, kinds.get(name, str)) for name, value in said.items())
        and all(isinstance(count, int) for count in tables.values())
        and said["ledger_version"].isdecimal()
    )


def _damaged(snapshot: Snapshot, path: Path, why: str) -> Problem:
    return Problem(f"snapshot {snapshot.id} is damaged: {why}", Where(str(path)), DAMAGED)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def plain(snapshot: Snapshot) -> dict[str, Any]:
    """Return *snapshot* as plain data, for JSON."""
    return snapshot._asdict()

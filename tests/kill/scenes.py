"""What is killed: commands, each begun on a state that other commands and an application have left."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import commands
from traced import Point

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SHORTENED = [
    (r"speed: 120\b", "speed: 200"),
    (r"duration: \d+m", "duration: 1m"),
    (r"min_samples: 10\b", "min_samples: 4"),
    (r"rollback: {on_breach: previous}", "rollback: {on_breach: previous, observe: 1m}\nsnapshots: {keep: 1}"),
]
"""The bundled schedule with two ticks a stage: every kind of step stays, and no answer comes later than its tick."""
FAST = [(r"speed: 120\b", "speed: 1800"), (r"\nrollback: .*", r"\g<0>\nsnapshots: {keep: 1}")]
"""The whole bundled schedule: as many ticks as in production."""

APPLICATION = """
INSERT INTO portfolio_rationales (id, cache_key, cache_type, rationale_type, data_json, data_hash, user_rating)
VALUES (901, 'summary:1', 'own', 'PORTFOLIO_SUMMARY', '{"of": 1}', 'h1', 5),
       (902, 'risk:1', 'own', 'RISK_ANALYSIS', '{"of": 2}', 'h2', NULL);
CREATE TABLE bets (id INTEGER PRIMARY KEY, provider TEXT, stake REAL);
INSERT INTO bets VALUES (1, 'stub', 10.5), (2, 'draftkings', 0.1), (3, 'nobody', NULL);
CREATE TRIGGER bets_are_kept BEFORE DELETE ON bets BEGIN SELECT RAISE(ABORT, 'kept'); END;
"""
BUSY = """
DELETE FROM portfolio_rationales WHERE cache_key = 'player:aaron_judge';
UPDATE portfolio_rationales SET expires_at = '2026-01-01 00:00:00.000000' WHERE cache_key = 'factor:nba_v2.1';
UPDATE provider_states SET timeout_seconds = 11 WHERE provider_name = 'betmgm';
"""
OUTSIDE = """-- migrate:up transaction:false
CREATE INDEX ix_bets ON bets (provider);
-- migrate:down
DROP INDEX ix_bets;
-- migrate:verify
SELECT count(*) = 1 FROM sqlite_master WHERE name = 'ix_bets';
"""


class Scene(NamedTuple):
    """
    A command, and the state that it is begun on.

    `begins_anew`: the same command does not go on, it does all of it again. `is_long`: tried only where all is tried.
    """

    name: str
    base: Callable[[Path], None]
    command: tuple[str, ...]
    environ: dict[str, str] | None = None
    edits: list[tuple[str, str]] = SHORTENED
    begins_anew: bool = False
    is_long: bool = False


def make(folder: Path, scene: Scene) -> tuple[str, ...]:
    """Make the state that *scene* begins on in *folder*, and return the command."""
    for name in ("config", "sql"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "tmp").mkdir()
    config = folder / "config/rollout.yaml"
    text = config.read_text()
    for pattern, new in scene.edits:
        text, count = re.subn(pattern, new, text)
        assert count, f"{pattern} is not in {config}"
    config.write_text(text)
    scene.base(folder)
    return tuple(part.format(snapshot=_kept(folder)) if "{" in part else part for part in scene.command)


def _kept(folder: Path) -> str:
    """Return the id of the snapshot that was taken by hand."""
    found = (json.loads(path.read_text()) for path in folder.glob("rollout.db.runner/snapshots/*.json"))
    return next(each["id"] for each in found if not each["is_automatic"])


def _do(folder: Path, *arguments: str, expected: int = 0) -> None:
    done = commands.run(folder, arguments)
    assert expected == done.exit_code, done.stdout + done.stderr


def _write(folder: Path, script: str) -> None:
    with closing(sqlite3.connect(folder / "rollout.db")) as conn:
        conn.executescript(script)


def nothing(_: Path) -> None:
    """No database."""


def disabled(folder: Path) -> None:
    """Everything is seeded, and the application has rows of its own."""
    _do(folder, "apply", "--target-stage", "disabled")
    _write(folder, APPLICATION)


def old_fashioned(folder: Path) -> None:
    """A database of the application, without a write-ahead log: a commit writes to the file itself."""
    _write(folder, "PRAGMA journal_mode=DELETE; CREATE TABLE bets (id INTEGER); INSERT INTO bets VALUES (1);")


def at_shadow(folder: Path) -> None:
    """The first stages were passed; rows that the rollout has seeded were changed since, and a migration came."""
    disabled(folder)
    _do(folder, "apply", "--target-stage", "shadow_mode")
    _write(folder, BUSY)
    (folder / "sql/sqlite/0004_index_bets.sql").write_text(OUTSIDE)


def full(folder: Path) -> None:
    """At the last stage, with a snapshot that was taken by hand before the stages."""
    disabled(folder)
    _do(folder, "snapshot")
    _do(folder, "apply")
    _write(folder, "INSERT INTO bets VALUES (4, 'later', 1); UPDATE bets SET stake = 7 WHERE id = 1;")


def in_partial(folder: Path) -> None:
    """A runner was killed in the middle of an active stage."""
    disabled(folder)
    killed = commands.run(folder, ("apply",), kill=Point("write provider.activated to stderr", 3, "after"))
    assert killed.exit_code is None, killed.stderr


SCENES = [
    Scene("apply", nothing, ("apply", "--log-file", "stdout.log")),
    Scene("apply, going on", at_shadow, ("apply",)),
    Scene("apply, without WAL", old_fashioned, ("apply", "--target-stage", "partial_active")),
    Scene("apply, breached", disabled, ("apply",), {"RUNNER_STAND_IN_FAULTS": "draftkings:fail=404@partial_active"}),
    Scene("apply, walking back", full, ("apply", "--target-stage", "disabled")),
    Scene("rollback gradual", full, ("rollback", "--level", "gradual")),
    Scene("rollback standard", full, ("rollback", "--level", "standard")),
    Scene("rollback emergency", full, ("rollback", "--level", "emergency")),
    Scene("abort", in_partial, ("abort",)),
    Scene("snapshot", full, ("snapshot",), begins_anew=True),
    Scene("restore", full, ("restore", "{snapshot}", "--yes"), begins_anew=True),
    Scene("rehearse", disabled, ("rehearse",), begins_anew=True),
    Scene("apply, every tick", nothing, ("apply",), edits=FAST, is_long=True),
]

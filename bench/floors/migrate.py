"""Run every migration of a folder that the ledger does not know yet: `migrate.py FOLDER DATABASE`."""

import sqlite3
import sys
from pathlib import Path


def main(folder: Path, database: str) -> None:
    """Run each file and write its ledger row in one transaction, as durably as the runner does."""
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE IF NOT EXISTS ledger (version TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP)")
    known = {version for (version,) in db.execute("SELECT version FROM ledger")}
    for path in sorted(folder.glob("*.sql")):
        version = path.name.partition("_")[0]
        if version in known:
            continue
        up = path.read_text("utf-8").partition("-- migrate:down")[0]
        db.executescript(f"BEGIN IMMEDIATE; {up}; INSERT INTO ledger (version) VALUES ('{version}'); COMMIT")
        print(f"applied {path.name}")
    db.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

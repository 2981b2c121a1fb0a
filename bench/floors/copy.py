"""What the engine itself does: copy a database and check the copy. `copy.py DATABASE COPY`."""

import sqlite3
import sys
from pathlib import Path


def main(database: str, copy: str) -> None:
    """Copy by VACUUM INTO, and check the whole copy."""
    Path(copy).unlink(missing_ok=True)
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("VACUUM INTO ?", [copy])
    db.close()
    db = sqlite3.connect(copy)
    found = db.execute("PRAGMA integrity_check").fetchone()[0]
    db.close()
    if found != "ok":
        sys.exit(found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

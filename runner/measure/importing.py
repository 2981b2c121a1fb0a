"""
Import Python classes and say what fields they have: the program of a process of its own.

    python -P importing.py FILE SECONDS CLASS...

What is found is written to FILE, the number of an open file, because what is imported may write whatever it likes to
stdout. It may also raise, hang, or end the process: then FILE stays empty. After SECONDS the system ends the process,
whoever started it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

LONGEST = 200
_LOGIN = re.compile(r"://[^\s/@]*@")


def look_at(path: str) -> dict[str, Any]:
    """Return the sorted `fields` of the class at *path* (None where it has none that can be told), or an `error`."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
        if not isinstance(found, type):
            return {"error": f"{path} is no class"}
        return {"fields": fields(found)}
    except BaseException as fault:  # noqa: BLE001  whatever an import raises is what there is to tell, SystemExit too
        return {"error": _plain(f"{type(fault).__name__}: {fault}")}


def fields(found: type) -> list[str] | None:
    """Return the names of the columns that *found* is made for: SQLAlchemy model, dataclass or NamedTuple."""
    table = getattr(found, "__table__", None)
    if table is not None and hasattr(table, "columns"):
        return sorted(column.name for column in table.columns)
    names = getattr(found, "__dataclass_fields__", None)
    if names is not None:
        import dataclasses  # noqa: PLC0415  a class that has fields has imported it already

        return sorted(field.name for field in dataclasses.fields(found))
    names = getattr(found, "_fields", None)
    return sorted(names) if issubclass(found, tuple) and names is not None else None


def _plain(text: str) -> str:
    """Return *text* on one line, not too long, and without the name and password of an address."""
    return _LOGIN.sub("://***@", " ".join(text.split()))[:LONGEST]


def main(file: str, seconds: str, *paths: str) -> None:
    """Write what each of *paths* is to the open *file*, and end the process at once: what was imported is not asked."""
    signal.setitimer(signal.ITIMER_REAL, float(seconds))  # its default is to end the process, even one that loops
    sys.path.append(str(Path.cwd()))  # last, so that no file that lies there stands in for a module
    found = json.dumps({path: look_at(path) for path in paths})
    with os.fdopen(int(file), "w", encoding="utf-8") as said:
        said.write(found)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

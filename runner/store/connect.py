"""Pick a backend by its engine, and import no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.store.backend import Backend


def open_backend(url: str, engine: str, *, create: bool = False, read_only: bool = False) -> Backend:
    """Connect to the database at *url*; `create` makes it where the engine can. Imports only the engine it needs."""
    if engine == "sqlite":
        from runner.store.sqlite import SqliteBackend, path_of  # noqa: PLC0415  one engine, not all of them

        return SqliteBackend(path_of(url), create=create, read_only=read_only)
    raise ValueError(engine)


def exists(url: str, engine: str) -> bool:
    """Say whether there is a database at *url* to be read."""
    if engine == "sqlite":
        from runner.store.sqlite import has_content, path_of  # noqa: PLC0415

        return has_content(path_of(url))
    return True

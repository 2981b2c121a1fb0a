"""Pick a backend by its engine, and import no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from runner.store.backend import Backend
    from runner.store.mounts import Mount


def open_backend(url: str, engine: str, *, create: bool = False, read_only: bool = False) -> Backend:
    """Connect to the database at *url*; `create` makes it where the engine can. Imports only the engine it needs."""
    if engine == "sqlite":
        from runner.store.sqlite import SqliteBackend, path_of  # noqa: PLC0415  one engine, not all of them

        return SqliteBackend(path_of(url), create=create, read_only=read_only)
    raise ValueError(engine)


def imagine(url: str, engine: str) -> Backend:
    """Return the empty database that would be made at *url*: for looking at, and gone when it is closed."""
    if engine == "sqlite":
        from runner.store.sqlite import SqliteBackend, path_of  # noqa: PLC0415

        return SqliteBackend(path_of(url), imagined=True)
    raise ValueError(engine)


def location(url: str, engine: str) -> str | None:
    """Return the file that *url* names, the same from every folder; None where the URL itself says where it is."""
    if engine == "sqlite":
        from runner.store.sqlite import path_of  # noqa: PLC0415

        return str(path_of(url).resolve())
    return None


def state_folder(url: str, engine: str) -> Path:
    """Return the folder in which the runner keeps files that belong to the database at *url*; it may not be there."""
    if engine == "sqlite":
        from runner.store.sqlite import path_of  # noqa: PLC0415

        path = path_of(url)
        path = path.resolve() if path.is_symlink() else path
        return path.with_name(f"{path.name}.runner")
    raise ValueError(engine)


def on_network(url: str, engine: str) -> Mount | None:
    """Return the network file system that the database at *url* lies on; None where its locks can be trusted."""
    if engine == "sqlite":
        from runner.store.mounts import network_mount  # noqa: PLC0415
        from runner.store.sqlite import path_of  # noqa: PLC0415

        return network_mount(path_of(url))
    return None


def exists(url: str, engine: str) -> bool:
    """Say whether there is a database at *url* to be read."""
    if engine == "sqlite":
        from runner.store.sqlite import has_content, path_of  # noqa: PLC0415

        return has_content(path_of(url))
    return True

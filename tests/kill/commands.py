"""The command line in a process of its own: the real one, begun in a fork that has everything imported already."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import re
import sys
import traceback
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import traced

import runner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

OUTPUT = os.O_CREAT | os.O_WRONLY | os.O_APPEND
NOT_IMPORTED = {"runner.__main__", "runner.measure.importing"}
RANDOM = re.compile(
    r"\d{8}T\d{6}Z-[0-9a-f]{4}|(?<=runner-rehearsal-)\w{8}|(?<=runner-)\w{8}|(?<=etilqs_)[0-9a-f]+|(?<=part)\d+"
)
PYTHONS_OWN = re.compile(r"tmp/[a-z0-9_]{8}")


class Done(NamedTuple):
    """How a command ended, as `traced.Ended`, and what it has said."""

    exit_code: int | None
    writes: list[traced.Write]
    stdout: str
    stderr: str


def import_all() -> None:
    """Import whatever a command may want, so that none has to wait for it."""
    for module in pkgutil.walk_packages(runner.__path__, "runner."):
        if module.name not in NOT_IMPORTED:
            importlib.import_module(module.name)
    for name in ("aiohttp", "sqlite_utils", "structlog"):
        importlib.import_module(name)
    gc.freeze()


def run(
    folder: Path, arguments: tuple[str, ...], environ: Mapping[str, str] | None = None, kill: traced.Point | None = None
) -> Done:
    """Run `runner` with *arguments* in *folder*, to its end or until it is killed; what it says goes to files."""
    names = (folder / "stdout", folder / "stderr")
    for name in names:
        name.unlink(missing_ok=True)
    ended = traced.run(_program(folder, arguments, environ or {}), _names_in(folder), kill)
    return Done(ended.exit_code, ended.writes, *(name.read_text() if name.exists() else "" for name in names))


def _program(folder: Path, arguments: tuple[str, ...], environ: Mapping[str, str]) -> Callable[[], NoReturn]:
    def program() -> NoReturn:
        os.chdir(folder)
        os.environ.update({"TMPDIR": str(folder / "tmp"), **environ})
        sys.stdout, sys.stderr = (_into(name, number) for number, name in ((1, "stdout"), (2, "stderr")))
        sys.argv = ["runner", *arguments]
        code = 99
        try:
            runner.cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # noqa: BLE001  whatever it is, it is told
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    return program


def _into(name: str, number: int):
    descriptor = os.open(name, OUTPUT, 0o600)
    os.dup2(descriptor, number)
    os.close(descriptor)
    return open(number, "w", encoding="utf-8", closefd=False)


def _names_in(folder: Path) -> Callable[[str], str | None]:
    """Return what names a path within *folder*, without what is there by chance; what is outside is no file of ours."""
    start = f"{folder}/"

    def name(path: str) -> str | None:
        if path in {"/dev/null", f"{start}stdout (made)"}:
            return None
        found = RANDOM.sub("*", path.removeprefix(start).removesuffix(" (deleted)"))
        return PYTHONS_OWN.sub("tmp/*", found)

    return name

"""The bundled rollout, edited as text: what the comparison of two configs is tested with."""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path

from runner.config.load import declaration
from runner.decide.compare import compare

ROOT = Path(__file__).parents[2]
CONFIG = "config/rollout.yaml"
FILES = {
    str(path.relative_to(ROOT)): path.read_text()
    for folder in ("config", "sql")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file()
}
BUNDLED = tuple(FILES.items())


def edited(files, *edits):
    """
    Return *files*, a tuple of (path, text), with each of *edits* made.

    `a => b` puts b where a stands, in the one file where it stands once; `after | a => b` where it stands first after
    that. `path <= text` writes a file, `path <=` removes it, and `path -> path` moves it.
    """
    found = dict(files)
    for edit in edits:
        if match := re.fullmatch(r"(\S+) <= ?(.*)", edit, re.DOTALL):
            found[match[1]] = match[2]
            found = {path: text for path, text in found.items() if path != match[1] or text}
        elif match := re.fullmatch(r"(\S+) -> (\S+)", edit):
            found[match[2]] = found.pop(match[1])
        else:
            _put(found, edit)
    return tuple(found.items())


def _put(files, edit):
    place, _, new = edit.partition(" => ")
    anchor, bar, old = place.rpartition(" | ")
    [path] = [path for path, text in files.items() if (f"{anchor}" if bar else old) in text and old in text]
    text = files[path]
    start = text.index(anchor) if bar else 0
    assert bar or text.count(old) == 1, f"{old} stands {text.count(old)} times in {path}"
    at = text.index(old, start)
    files[path] = text[:at] + new + text[at + len(old) :]


@cache
def loaded(files, environment=None, environ=()):
    """Return the Declaration of *files*; *environ* is a tuple of pairs."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        for path, text in files:
            place = Path(folder, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return declaration(
            Path(folder, CONFIG), environment, dict(environ), called=lambda path: str(Path(path).relative_to(folder))
        )


@cache
def _memory():
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  only a folder of our own is made there


def changes(before, after, environment=None, environ=()):
    """Return every change from *before* to *after*, both files as `edited` returns them."""
    return compare(*(loaded(files, environment, environ).rollout for files in (before, after)))


def told(before, after, environment=None):
    """Return the code and the sentence of every change."""
    return [(change.code, change.what) for change in changes(before, after, environment)]

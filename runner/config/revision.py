"""
A config as it stands in a revision of a git repository: `REV:path`, in git's own form.

Only what the config names is taken out of git, into a folder of its own that is gone afterwards. Blobs are read as they
are stored: no checkout, no filter, no attribute has a say, and the working tree and the index stay as they are.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runner.config.document import NOTHING
from runner.config.fence import leads_out
from runner.config.substitute import Unset, filled
from runner.config.wording import plain, visible
from runner.config.yamlfile import parse
from runner.errors import InvalidConfig, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LINK = "120000"
FILES = frozenset({"100644", "100755", LINK})
MOST_LINKS = 20
LONGEST_PATH = 4096
"""Bytes that a system takes in a path; what is longer is there in no checkout either."""
MOST_BYTES = 100_000
"""Of paths that one call of git is asked for; systems take no more than so many in all, and some not much more."""
TIMEOUT_S = 60
_IMPOSSIBLE = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
_TALK = ("GIT_TRACE", "GIT_ICASE_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS")
"""Settings that mix talk into git's answers, or contradict how it is asked; no repository is found by them."""
_REVISION = re.compile(r"(?P<revision>[^:]+):(?P<path>.+)", re.DOTALL)


class Side(NamedTuple):
    """One side of a comparison: where its config can be read, and what messages call a path of it."""

    path: Path
    called: Callable[[Path], str] | None = None


class _Entry(NamedTuple):
    """What a tree holds at a path: git's mode, and the id of its content."""

    mode: str
    id: str


@contextmanager
def side(name: str, environ: Mapping[str, str]) -> Iterator[Side]:
    """
    Lay out the config that *name* means, a path or `REV:path`, for as long as the context lasts.

    A file of that very name goes first. *environ* is for the variables in the paths that the config names. Raises
    InvalidConfig where there is no such revision, no such file in it, no repository, or no git.
    """
    found = None if os.path.lexists(name) else _REVISION.fullmatch(name)
    if found is None:
        if not os.path.lexists(name):
            fix = "name a file, or a revision and a file in it: HEAD:config/rollout.yaml"
            raise InvalidConfig(Problem(f"{plain(name)} does not exist", fix=fix))
        yield Side(Path(name))
        return
    with tempfile.TemporaryDirectory(prefix="runner-review-") as folder:
        root = Path(os.path.realpath(folder))
        path = _Revision(found["revision"], root).lay_out(found["path"], environ)

        def called(path: Path) -> str:
            inside = os.path.relpath(os.path.abspath(path), root)  # noqa: PTH100  resolve() would follow links
            return f"{found['revision']}:{'' if inside == '.' else inside}"

        yield Side(path, called)


def in_work_tree(name: str) -> str | None:
    """Return where the file of `REV:path` stands in the work tree, from the current folder; None for a plain path."""
    found = None if os.path.lexists(name) else _REVISION.fullmatch(name)
    if found is None:
        return None
    path = found["path"]
    if path.startswith(("./", "../")):
        return path
    up = os.fsdecode(_git(found["revision"], "rev-parse", "--show-cdup")).removesuffix("\n")
    return posixpath.join(up, path)


class _Revision:
    """A revision, and the folder into which parts of it are laid out."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder
        self._top = os.fsdecode(_git(name, "rev-parse", "--show-toplevel")).removesuffix("\n")
        self._id = self._commit()

    def lay_out(self, path: str, environ: Mapping[str, str]) -> Path:
        """Lay out the config at *path* and what it names; return where it is now."""
        inside = self._inside(path)
        (self._folder / ".git").touch()  # the project ends where the repository does
        entries = self._entries([inside])
        if inside not in entries:
            self._refuse_path(inside)
        self._write(entries)
        path_here = self._folder / inside
        if not path_here.is_file() or leads_out(path_here, self._folder):
            self._refuse_path(inside)
        text = path_here.read_text("utf-8-sig", errors="replace")
        self._write(self._entries([*_named(text, posixpath.dirname(inside), environ)]))
        return path_here

    def _commit(self) -> str:
        try:
            verify = ("rev-parse", "--verify", "--quiet", "--end-of-options")
            found = _git(self._name, *verify, self._name).decode().strip()
            return _git(self._name, *verify, f"{found}^{{commit}}").decode().strip()
        except InvalidConfig:
            shallow = _git(self._name, "rev-parse", "--is-shallow-repository").strip() == b"true"
            what = f"there is no revision {plain(self._name)} in {visible(self._top)}"
            if shallow:
                what += ", which is a shallow clone"
                fix = "fetch what is missing: git fetch --unshallow; in a workflow, check out with `fetch-depth: 0`"
            else:
                fix = "look at `git branch --all` and `git tag`; fetch it if it is new: git fetch origin"
            raise InvalidConfig(Problem(what, fix=fix)) from None

    def _inside(self, path: str) -> str:
        """Return *path* from the top of the repository; `./` and `../` begin at the current folder, as in git."""
        if path.startswith(("./", "../")):
            prefix = os.fsdecode(_git(self._name, "rev-parse", "--show-prefix")).removesuffix("\n")
            path = posixpath.join(prefix, path)
        inside = posixpath.normpath(path)
        if inside == "." or _is_outside(inside) or not _is_possible(inside):
            what = f"{plain(path)} is no file inside of the repository {visible(self._top)}"
            raise InvalidConfig(Problem(what, fix=f"write the path from {visible(self._top)} on"))
        return inside

    def _refuse_path(self, inside: str) -> None:
        what = f"there is no file {plain(inside)} in the revision {plain(self._name)}"
        fix = f"look at `git ls-tree -r --name-only {plain(self._name)}`; what is new there has nothing to differ from"
        raise InvalidConfig(Problem(what, fix=fix))

    def _entries(self, paths: list[str]) -> dict[str, _Entry]:
        """Return every file at or below *paths*, and what links on the way to them, and among them, lead to."""
        found: dict[str, _Entry] = {}
        for _ in range(MOST_LINKS):
            if not paths:
                break
            on_the_way = {parent for path in paths for parent in _above(path)}
            links = {path: each for path, each in self._listed(on_the_way).items() if each.mode == LINK}
            new = {**links, **self._listed(set(paths), "-r")}
            new = {path: each for path, each in new.items() if each.mode in FILES and path not in found}
            found |= new
            ends = self._ends({path: each for path, each in new.items() if each.mode == LINK})
            behind = (_behind(path, ends) for path in paths)
            paths = [path for path in dict.fromkeys((*ends.values(), *behind)) if path and path not in found]
        return found

    def _listed(self, paths: set[str], *options: str) -> dict[str, _Entry]:
        """Return what the revision holds at *paths*."""
        tree = ("--literal-pathspecs", "ls-tree", *options, "-z", "--full-tree", self._id)
        if "." in paths:
            return _entries_in(_git(self._name, *tree))
        found: dict[str, _Entry] = {}
        for part in _parts(sorted(paths)):
            found |= _entries_in(_git(self._name, *tree, "--", *part))
        return found

    def _ends(self, links: dict[str, _Entry]) -> dict[str, str]:
        """Return where each of *links* leads, as far as that is inside of the repository."""
        short = (os.fsdecode(content[: LONGEST_PATH + 1]) for content in self._contents(links))
        targets = zip(links, short, strict=True)
        ends = {path: posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) for path, target in targets}
        return {path: end for path, end in ends.items() if not _is_outside(end) and _is_possible(end)}

    def _write(self, entries: dict[str, _Entry]) -> None:
        """
        Write every one of *entries*; a link stays a link, and the loader's fence looks where it leads.

        InvalidConfig for a tree that no `git add` makes, in which a path leads out of the folder or through a link.
        """
        for (path, entry), content in zip(entries.items(), self._contents(entries), strict=True):
            place = self._folder / path
            if ".." in path.split("/") or os.path.realpath(place.parent) != str(place.parent):
                self._refuse_tree(path)
            try:
                self._write_one(place, entry, content)
            except ValueError:  # a NUL in where a link leads
                self._refuse_tree(path)
            except OSError as failure:
                if failure.errno not in _IMPOSSIBLE:
                    raise
                self._refuse_tree(path)

    def _write_one(self, place: Path, entry: _Entry, content: bytes) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.mode != LINK:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with open(place, "wb", opener=lambda name, _: os.open(name, flags, 0o600)) as stream:
                stream.write(content)
        elif not place.is_symlink():
            place.symlink_to(os.fsdecode(content))

    def _refuse_tree(self, path: str) -> None:
        what = f"the revision {plain(self._name)} holds {plain(path)} in a way that no checkout takes"
        raise InvalidConfig(Problem(what, fix="look at the repository: git fsck"))

    def _contents(self, entries: dict[str, _Entry]) -> Iterator[bytes]:
        """Yield what every one of *entries* holds, in order, from one process."""
        if not entries:
            return
        wanted = "".join(f"{entry.id}\n" for entry in entries.values()).encode()
        answer, at = _git(self._name, "cat-file", "--batch", given=wanted), 0
        for _ in entries:
            end = answer.index(b"\n", at)
            if answer.endswith(b" missing", at, end):
                what = f"git has no content for a file of {plain(self._name)}"
                raise InvalidConfig(Problem(what, fix="fetch what is missing, or look at the repository: git fsck"))
            size = int(answer[at:end].split()[-1])
            yield answer[end + 1 : end + 1 + size]
            at = end + size + 2


def _above(path: str) -> list[str]:
    """Return the folders that *path* leads through."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _behind(path: str, ends: dict[str, str]) -> str | None:
    """Return where *path* is when a folder on its way is one of the links with *ends*."""
    for link, end in ends.items():
        if path.startswith(f"{link}/"):
            return posixpath.normpath(posixpath.join(end, path.removeprefix(f"{link}/")))
    return None


def _parts(paths: list[str]) -> Iterator[list[str]]:
    """Yield *paths* in parts that one command line holds."""
    part: list[str] = []
    size = 0
    for path in paths:
        length = len(os.fsencode(path)) + 1
        if part and size + length > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(path)
        size += length
    if part:
        yield part


def _is_possible(path: str) -> bool:
    """Say whether a system can have a file at *path* at all; git is not asked for another."""
    return "\0" not in path and len(path) <= LONGEST_PATH


def _is_outside(path: str) -> bool:
    return path == ".." or path.startswith(("/", "../"))


def _entries_in(listed: bytes) -> dict[str, _Entry]:
    return dict(_entry(line) for line in os.fsdecode(listed).split("\0") if line)


def _entry(line: str) -> tuple[str, _Entry]:
    about, path = line.split("\t", 1)
    mode, _, content = about.split(" ")
    return path, _Entry(mode, content)


def _named(text: str, folder: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the paths, from the top, that the config of *text* in *folder* names; the loader says what is amiss."""
    data = parse(text, "").data
    if data is NOTHING or not isinstance(data, dict):
        return
    for key in ("providers", "caches", "migrations"):
        if not isinstance(data.get(key), str):
            continue
        try:
            named = filled(data[key], environ)
        except Unset:
            continue
        before, engine, _ = named.partition("{engine}")
        path = posixpath.normpath(posixpath.join(folder, posixpath.dirname(before) if engine else named))
        if not _is_outside(path) and _is_possible(path):
            yield path


def _git(revision: str, *arguments: str, given: bytes = b"") -> bytes:
    """Return what git prints; InvalidConfig with its own words where it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_TALK)}
    environ = {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603  a list, no shell
            ["git", *arguments],  # noqa: S607  the git of whoever asks
            input=given,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env=environ,
        )
    except FileNotFoundError:
        what = f"{plain(revision)} is a revision, and there is no git to read it with"
        raise InvalidConfig(Problem(what, fix="install git, or compare two paths")) from None
    except subprocess.TimeoutExpired:
        what = f"git did not answer within {TIMEOUT_S} s: git {arguments[0]}"
        raise InvalidConfig(Problem(what, fix="look at the repository: git fsck")) from None
    if done.returncode:
        said = visible(done.stderr.decode(errors="replace").strip().partition("\n")[0])
        what = f"git cannot read {plain(revision)}: {said.removeprefix('fatal: ') or f'exit code {done.returncode}'}"
        fix = "run this inside of the repository, or compare two paths"
        if "dubious ownership" in said:
            fix = "if you trust it, say so as `git status` tells: git config --global --add safe.directory FOLDER"
        raise InvalidConfig(Problem(what, fix=fix))
    return done.stdout

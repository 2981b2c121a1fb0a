"""
A YAML file becomes plain data, with a place for every value and every mistake.

Reads what YAML 1.2 calls the core schema and refuses what surprises: duplicate keys, anchors, tags, several documents.
Built straight from the parser's events: a composed tree of 100,000 entries takes seven times as long.
"""

from __future__ import annotations

import gc
import os
import stat
from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runner.config.document import NOTHING, Document
from runner.config.tree import Stop, Tree
from runner.config.wording import plain
from runner.config.yamlerror import explained, place
from runner.errors import Problem, Where

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_MIB = 64
CONFLICT = "<<<<<<< "
"""What git writes above the first of two versions that it could not merge."""


class Unreadable(Exception):
    """The file has no text to parse; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def read(path: os.PathLike[str] | str, file: str, origin: Where | None = None) -> Document:
    """
    Return the Document of the YAML file at *path*, which messages call *file*.

    Never raises for what the file holds: a file without readable YAML gives a Document with the data NOTHING and its
    problems. *origin* is where the path was written; a file that cannot be opened is a mistake there.
    """
    try:
        text = decoded(contents(path, file, origin), file)
    except Unreadable as error:
        nothing = Document(file, NOTHING, array("Q"))
        nothing.problems.append(error.problem)
        return nothing
    return parse(text, file)


def parse(text: str, file: str) -> Document:
    """Return the Document of *text*, which messages call *file*."""
    import yaml  # noqa: PLC0415  23 ms, paid at the door of load

    tree = Tree(file)
    if problem := conflict(text, file):
        tree.document.problems.append(problem)
        return _unusable(tree)
    try:
        with _collector_off():
            _grow(tree, text)
    except Stop:
        return _unusable(tree)
    except yaml.YAMLError as error:
        tree.document.problems.append(explained(error, text, file))
        return _unusable(tree)
    document = tree.finish()
    if document.data is None and not document.problems:
        document.problems.append(Problem(f"{file} is empty", Where(file), "begin with `version: 1`"))
    return document if document.data is not None else _unusable(tree)


def conflict(text: str, file: str) -> Problem | None:
    """Return the problem of a merge that nobody has finished: git's markers stand in *text*."""
    begin = 0 if text.startswith(CONFLICT) else text.find(f"\n{CONFLICT}") + 1
    if not begin and not text.startswith(CONFLICT):
        return None
    fix = "choose between the two versions, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>"
    return Problem("a merge conflict stands here", Where(file, text.count("\n", 0, begin) + 1), fix)


def contents(path: os.PathLike[str] | str, file: str, origin: Where | None = None) -> bytes:
    """Return the bytes of the file at *path*; Unreadable, at *origin* if that is known, where there are none."""
    where = origin or Where(file)
    try:
        about = os.stat(path)  # noqa: PTH116  one look answers three questions
        if stat.S_ISDIR(about.st_mode):
            raise Unreadable(Problem(f"{file} is a folder, not a file", where, "name the file in it"))
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable(Problem(f"{file} is not a regular file", where, "name a file"))
        if about.st_size > LARGEST_MIB << 20:
            fix = f"split it: {LARGEST_MIB} MiB is the most"
            raise Unreadable(Problem(f"{file} has {about.st_size >> 20} MiB", where, fix))
        with open(path, "rb") as stream:  # noqa: PTH123  a path as it comes, of either kind
            return stream.read()
    except FileNotFoundError:
        raise Unreadable(Problem(f"{file} does not exist", where, "correct the path, or create the file")) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Unreadable(Problem(f"{plain(file)} cannot be read: {why}", where, "make it readable")) from None


def decoded(raw: bytes, file: str) -> str:
    """Return *raw* as text; Unreadable where it is not UTF-8."""
    fix = "save it as UTF-8 text"
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        what = f"{file} is not UTF-8: byte 0x{raw[error.start]:02x}"
        raise Unreadable(Problem(what, Where(file, line, column), fix)) from None
    if "\0" in text:
        raise Unreadable(Problem(f"{file} is binary: it holds a NUL", place(text, text.index("\0"), file), fix))
    return text


def _unusable(tree: Tree) -> Document:
    tree.document.data = NOTHING
    return tree.document


def _grow(tree: Tree, text: str) -> None:
    """Feed *tree* with the events of *text*, from libyaml where PyYAML has it."""
    import yaml  # noqa: PLC0415  see parse

    loader = getattr(yaml, "CLoader", yaml.Loader)(text)
    scalar, next_event = yaml.ScalarEvent, loader.get_event
    try:
        while (kind := type(event := next_event())) is not yaml.StreamEndEvent:
            if kind is scalar:
                tree.scalar(event)
            elif kind is yaml.MappingStartEvent:
                tree.open(event, {})
            elif kind is yaml.SequenceStartEvent:
                tree.open(event, [])
            elif kind in {yaml.MappingEndEvent, yaml.SequenceEndEvent}:
                tree.close()
            elif kind is yaml.AliasEvent:
                tree.alias(event)
            elif kind is yaml.DocumentStartEvent:
                tree.begin_document(event.start_mark)
    finally:
        loader.dispose()


@contextmanager
def _collector_off() -> Iterator[None]:
    """Keep the cyclic collector from walking a growing tree again and again: it doubles the time and finds nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

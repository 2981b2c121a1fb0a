"""YAML events in, plain data out: the part of reading that knows what is refused and why."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from runner.config.document import (
    COLUMN_BITS,
    MOST_PROBLEMS,
    NOTHING,
    Document,
    Path,
    Reference,
    not_too_many,
    offsets,
)
from runner.config.scalars import Ambiguous, resolve
from runner.config.secret import HIDDEN, is_secret
from runner.config.wording import plain
from runner.errors import Problem, Where

if TYPE_CHECKING:
    from yaml import Mark

DEEPEST = 64

_NO_KEY = object()
_SKIP = object()


class Stop(Exception):
    """What was read makes it pointless to go on in this file; the problem is noted."""


class _Open:
    """
    A mapping or list that is still being read.

    `key` is the mapping's key whose value comes next (_NO_KEY: a key comes next, _SKIP: the value is dropped), None in
    a list. `cut` is where the marks are cut when a dropped value ends, -1 where the value counts.
    """

    __slots__ = ("as_key", "container", "cut", "firsts", "key", "start")

    def __init__(self, container: Any, key: Any, start: int, *, dropped: bool, as_key: bool) -> None:
        self.container = container
        self.key = key
        self.start = start
        self.cut = start if dropped else -1
        self.as_key = as_key
        self.firsts: dict[str | int, int] = {}


class Tree:
    """Take events one by one and grow a Document from them. The stack is a list, so depth costs no recursion."""

    def __init__(self, file: str) -> None:
        self.document = Document(file, NOTHING, array("Q"))
        self._marks = self.document.marks
        self._root: list[Any] = []
        self._top = _Open(self._root, None, 0, dropped=False, as_key=False)
        self._stack = [self._top]
        self._dropping = 0
        self._interned: dict[str, str] = {}
        self._told_alias = False

    def finish(self) -> Document:
        """Return what has grown."""
        self.document.data = self._root[0] if self._root else None
        return self.document

    def begin_document(self, mark: Mark) -> None:
        """Take the start of a document: there may be one."""
        if self._root:
            self.refuse("a second document begins here", mark, "keep one document in a file: remove the `---`")
            raise Stop

    def scalar(self, event: Any) -> None:
        """Take a key or a simple value."""
        if event.anchor or event.tag:
            self._refuse_properties(event)
        top = self._top
        if top.key is _NO_KEY:
            top.key = self._key(event)
        elif top.key is _SKIP:
            top.key = _NO_KEY
        else:
            self._value(event, top)

    def alias(self, event: Any) -> None:
        """Take an alias: refused, and a stand-in put in its place."""
        self._refuse_alias(f"*{self._seen(event.anchor)}", event.start_mark)
        top = self._top
        if top.key is _NO_KEY:
            top.key = _SKIP
        elif top.key is _SKIP:
            top.key = _NO_KEY
        else:
            self._place(None, event.start_mark)
            self._note_broken()
            self._end_value()

    def open(self, event: Any, container: Any) -> None:
        """Take the start of a mapping or list."""
        if event.anchor or event.tag:
            self._refuse_properties(event)
        if len(self._stack) > DEEPEST:
            self.refuse(f"this is nested more than {DEEPEST} deep", event.start_mark, "flatten it")
            raise Stop
        as_key = self._top.key is _NO_KEY
        dropped = as_key or self._top.key is _SKIP
        if as_key:
            self.refuse("a key is not text but a list or mapping", event.start_mark, "write a word as the key")
        start = len(self._marks)
        if dropped:
            self._dropping += 1
            self._mark(event.start_mark)
        else:
            self._place(container, event.start_mark)
        key = _NO_KEY if isinstance(container, dict) else None
        self._top = _Open(container, key, start, dropped=dropped, as_key=as_key)
        self._stack.append(self._top)

    def close(self) -> None:
        """Take the end of a mapping or list."""
        closed = self._stack.pop()
        self._top = self._stack[-1]
        if closed.cut >= 0:
            self._dropping -= 1
            del self._marks[closed.cut :]
        if closed.as_key:
            self._top.key = _SKIP
        else:
            self._end_value()

    def refuse(self, what: str, mark: Mark, fix: str | None = None) -> None:
        """Note a problem; Stop where there are too many."""
        problems = self.document.problems
        problems.append(Problem(what, self._where(mark), fix))
        if len(problems) > MOST_PROBLEMS:
            problems[:] = not_too_many(problems)
            raise Stop

    def _where(self, mark: Mark) -> Where:
        return Where(self.document.file, mark.line + 1, mark.column + 1)

    def _mark(self, mark: Mark) -> None:
        self._marks.append(mark.line << COLUMN_BITS | mark.column)

    def _place(self, value: Any, mark: Mark) -> None:
        self._marks.append(mark.line << COLUMN_BITS | mark.column)
        top = self._top
        if top.key is None:
            top.container.append(value)
        else:
            top.container[top.key] = value

    def _end_value(self) -> None:
        if self._top.key is not None:
            self._top.key = _NO_KEY

    def _value(self, event: Any, top: _Open) -> None:
        value: Any = event.value
        unquoted = event.implicit[0]
        broken = False
        if unquoted:
            try:
                value = resolve(value)
            except Ambiguous as error:
                self.refuse(f"{self._seen(value)} {error}", event.start_mark, error.fix)
                value, broken = None, True
        self._place(value, event.start_mark)
        if broken:
            self._note_broken()
        elif "${" in event.value and not self._dropping:
            self.document.references[self._path()] = Reference(event.value, unquoted)
        if top.key is not None:
            top.key = _NO_KEY

    def _key(self, event: Any) -> Any:
        """Return the key that *event* is, its place noted; _SKIP where it is refused."""
        text = event.value
        if event.implicit[0] and not self._is_text(text):
            self.refuse(f"the key {plain(text) or 'before the colon'} is not text", event.start_mark, "quote the key")
            return _SKIP
        if event.implicit[0] and text == "<<":
            self._refuse_alias("<<", event.start_mark)
            return _SKIP
        if text in self._top.container:
            self._refuse_duplicate(text, event.start_mark)
            return _SKIP
        self._mark(event.start_mark)
        return self._interned.setdefault(text, text)

    @staticmethod
    def _is_text(text: str) -> bool:
        try:
            return isinstance(resolve(text), str)
        except Ambiguous:
            return False

    def _path(self) -> Path:
        return tuple(len(part.container) - 1 if part.key is None else part.key for part in self._stack[1:])

    def _seen(self, text: str) -> str:
        """Return what a message may show of *text*, which stands where a key or value is read."""
        return HIDDEN if is_secret(self._path()) else plain(text)

    def _note_broken(self) -> None:
        if not self._dropping:
            self.document.broken.add(self._path())

    def _refuse_duplicate(self, key: str, mark: Mark) -> None:
        top = self._top
        if key not in top.firsts:
            top.firsts = offsets(top.container, top.start)
        first = self._marks[top.firsts[key] - 1] >> COLUMN_BITS
        self.refuse(
            f"the key {plain(key)} stands here again, and first in line {first + 1}", mark, "keep one of the two"
        )

    def _refuse_properties(self, event: Any) -> None:
        if event.anchor:
            self._refuse_alias(f"&{self._seen(event.anchor)}", event.start_mark)
        if event.tag:
            tag = self._seen(event.tag.replace("tag:yaml.org,2002:", "!!"))
            self.refuse(f"the tag {tag} is refused: a config is plain data", event.start_mark, "remove the tag")

    def _refuse_alias(self, name: str, mark: Mark) -> None:
        """Say once in a file that anchors are refused: a bomb of them is one problem, not a thousand."""
        if not self._told_alias:
            fix = "write the value out where it is needed"
            self.refuse(f"{name} is refused: anchors, aliases and merges expand out of sight", mark, fix)
        self._told_alias = True

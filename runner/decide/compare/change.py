"""One change, how it is put into a sentence, and how what belongs together becomes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from runner.config.duration import written

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from runner.config.model import Rollout

LISTED = 8
"""So many names stand in a sentence."""
LONGEST = 80
"""Characters of a name or a value in a sentence."""
AROUND = 12
"""Characters that are shown on either side of what is different in a long text."""

Place = tuple[str | int, ...]
"""Where something stands: the file (rollout, providers, caches), and the keys and positions in it."""


class Who(NamedTuple):
    """What changed: things of one kind, by name, of so many that there are."""

    kind: str
    names: tuple[str, ...]
    of: int = 0

    @property
    def is_several(self) -> bool:
        """Whether several are listed, rather than one, or every one."""
        return len(self.names) > 1 and not self._is_every

    @property
    def _is_every(self) -> bool:
        return self.of > 1 and len(self.names) == self.of

    def __str__(self) -> str:
        if self._is_every:
            return f"every {self.kind}"
        if len(self.names) == 1:
            return f"{self.kind} {short(self.names[0])}"
        return f"{len(self.names)} {plural(self.kind)} ({listed(self.names)})"


class Change(NamedTuple):
    """
    One change: its rule's code, where it is in the words of the config, and what it was and is, as plain data.

    The sentence is *head*, who it is about, and *tail*. *place* is in the new files, or where it would be.
    """

    code: str
    path: str
    head: str
    who: Who | None
    tail: str
    before: Any
    after: Any
    place: Place

    @property
    def what(self) -> str:
        """The change as a sentence."""
        each = "each of " if self.who and not self.head and self.who.is_several else ""
        return f"{self.head}{each}{self.who or ''}{self.tail}"


def grouped(changes: Iterable[Change]) -> Iterator[Change]:
    """Yield *changes*; the same change of several things of one kind as one, where the first of them stood."""
    groups: dict[Hashable, list[Change]] = {}
    for number, change in enumerate(changes):
        path, kind = change.path, cast("Hashable", number)
        if change.who:
            path, kind = path.replace(f".{change.who.names[0]}", ".*", 1), (change.who.kind, change.who.of)
        values = (repr(change.before), repr(change.after))
        groups.setdefault((change.code, path, change.head, change.tail, kind, values), []).append(change)
    for same in groups.values():
        first = same[0]
        if first.who and len(same) > 1:
            names = tuple(name for change in same if change.who for name in change.who.names)
            first = first._replace(who=first.who._replace(names=names))
        yield first


class Pairing(NamedTuple):
    """Things of both sides, brought together by name: those in both, those on one side only, and those renamed."""

    both: list[tuple[Any, Any]]
    gone: list[Any]
    come: list[Any]
    renamed: list[tuple[Any, Any]]


def paired(old: Sequence[Any], new: Sequence[Any], name: Callable[[Any], Hashable], *likeness: Any) -> Pairing:
    """
    Bring the things of *old* and *new* together by *name*.

    What has no partner is renamed where something on the other side is alike: each of *likeness* is tried in turn, a
    function of a thing whose values are the same then.
    """
    before, after = {name(thing): thing for thing in old}, {name(thing): thing for thing in new}
    both = [(before[key], thing) for key, thing in after.items() if key in before]
    gone = [thing for key, thing in before.items() if key not in after]
    come = [thing for key, thing in after.items() if key not in before]
    renamed: list[tuple[Any, Any]] = []
    for alike in likeness:
        candidates: dict[Hashable, list[Any]] = {}
        for thing in reversed(come):
            candidates.setdefault(alike(thing), []).append(thing)
        found = [(thing, candidates[alike(thing)].pop()) for thing in gone if candidates.get(alike(thing))]
        renamed += found
        left = {id(thing) for pair in found for thing in pair}
        gone, come = ([thing for thing in things if id(thing) not in left] for things in (gone, come))
    return Pairing(both, gone, come, renamed)


def turned(code_up: str, code_down: str, before: float | None, after: float | None) -> str | None:
    """Return the code for *after* being more or less than *before*, where None is endless; None where it is neither."""
    was, is_ = (float("inf") if value is None else value for value in (before, after))
    return None if was == is_ else code_up if is_ > was else code_down


def places(rollout: Rollout, file: str, *keys: str | int) -> dict[str, Place]:
    """Return the place of every named item of the list at *keys* of a file."""
    data: Any = rollout.declared[file]
    for key in keys:
        data = data[key]
    return {item["name"]: (file, *keys, number) for number, item in enumerate(data)}


def number(value: float | None) -> str:
    """Write a number as a config would, and `no limit` where there is none."""
    if value is None:
        return "no limit"
    return str(int(value)) if float(value).is_integer() else repr(value)


def span(value_s: float | None) -> str:
    """Write a duration as a config would."""
    return "no limit" if value_s is None else written(value_s)


def short(text: str) -> str:
    """Return *text* on one line, the middle left out where it is long."""
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 13]}...{text[-10:]}"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def same_sql(was: str, now: str) -> bool:
    """Say whether two texts of SQL differ by nothing, or by blanks that mean nothing."""
    if was.strip() == now.strip():
        return True
    means_more = any(sign in text for sign in ("'", '"', "`", "[", "--", "/*") for text in (was, now))
    return not means_more and was.split() == now.split()


def apart(was: str, now: str) -> tuple[str, str]:
    """Return two texts on one line each; of long ones what is different, and a little of what stands around it."""
    if max(len(was), len(now)) <= LONGEST:
        return short(was), short(now)
    least = min(len(was), len(now))
    first = next((at for at in range(least) if was[at] != now[at]), least)
    rest = least - first
    last = next((at for at in range(rest) if was[-1 - at] != now[-1 - at]), rest)
    first, last = max(first - AROUND, 0), max(last - AROUND, 0)
    ends = ("..." if first else "", "..." if last else "")
    shown = [f"{ends[0]}{short(text[first : len(text) - last])}{ends[1]}" for text in (was, now)]
    return shown[0], shown[1]


def addresses(was: str, now: str) -> str:
    """Return two addresses as they may be shown; where they look the same, that what is hidden is not."""
    same = " (what is hidden of it is different)" if was == now else ""
    return f"{short(was)} -> {short(now)}{same}"


def signed(more: Iterable[str], fewer: Iterable[str]) -> list[str]:
    """Return what came with a plus, and what went with a minus."""
    return [*(f"+ {each}" for each in more), *(f"- {each}" for each in fewer)]


def listed(names: Sequence[str]) -> str:
    """Return the first of *names*, and how many there are more."""
    more = len(names) - LISTED
    return ", ".join([*map(short, names[:LISTED]), *([f"{more} more"] if more > 0 else [])])


def plural(noun: str) -> str:
    """Return *noun* for several."""
    return f"{noun[:-1]}ies" if noun.endswith("y") else "criteria" if noun == "criterion" else f"{noun}s"


def count(size: int, noun: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{size} {noun if size == 1 else plural(noun)}"

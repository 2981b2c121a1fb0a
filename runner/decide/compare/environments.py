"""What changed in where the rollout goes: databases, speed, and what each place asks for."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.decide.compare.change import Change, Who, addresses, number, paired, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import Rollout

    Data = dict[str, Any]


class _Place(NamedTuple):
    """An environment: what is compared of its database, what may be shown of it, and the rest."""

    name: str
    database: str
    shown: str
    speed: Any
    stand_in: Any
    rehearsal: Any


def environments(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in the environments: the chosen one as it is filled in, the others as they are declared."""
    is_same = old.environment.name == new.environment.name
    before, after = (list(_places(side, filled=is_same)) for side in (old, new))
    found = paired(before, after, attrgetter("name"), attrgetter("database"))
    for place in found.gone:
        yield _change("environment-removed", place.name, " is gone", place.shown, None)
    for place in found.come:
        yield _new(place, before)
    for was, now in found.renamed:
        who, tail = Who("environment", (was.name,)), f" is called {short(now.name)} now"
        place_at = ("rollout", "environments", now.name)
        yield Change("environment-renamed", "environments", "", who, tail, was.name, now.name, place_at)
    for was, now in (*found.both, *found.renamed):
        yield from _changed(now.name, was, now)


def _new(place: _Place, before: list[_Place]) -> Change:
    said = f"{short(place.shown)}, speed {_speed(place.speed)}, stand-in {place.stand_in}, rehearsal {place.rehearsal}"
    shared = [each.name for each in before if each.database == place.database]
    if not shared:
        return _change("environment-added", place.name, f" is new: {said}", None, place.shown)
    said = f" is new, and goes to the same database as {short(shared[0])}: {said}"
    return _change("environment-shares-database", place.name, said, None, place.shown)


def _places(rollout: Rollout, *, filled: bool) -> Iterator[_Place]:
    """Yield the environments; with *filled* the chosen one with its variables put in."""
    declared: dict[str, Data] = rollout.declared["rollout"]["environments"]
    chosen = rollout.environment
    for name, data in declared.items():
        place = _declared(name, data)
        if filled and name == chosen.name:
            place = place._replace(
                database=chosen.database,
                speed=chosen.speed,
                stand_in="allowed" if chosen.stand_in else "refused",
                rehearsal="required" if chosen.must_rehearse else "optional",
            )
        yield place


def _declared(name: str, data: Data) -> _Place:
    """Return an environment as it is declared; its database is masked already."""
    return _Place(
        name,
        data["database"],
        data["database"],
        data.get("speed", 1),
        data.get("stand_in", "allowed"),
        data.get("rehearsal", "optional"),
    )


def _changed(name: str, was: _Place, now: _Place) -> Iterator[Change]:
    if (was.database, was.shown) != (now.database, now.shown):
        said = f" goes to another database: {addresses(was.shown, now.shown)}"
        yield _change("database-changed", name, said, was.shown, now.shown, "database")
    if was.speed != now.speed:
        values = _speed(was.speed), _speed(now.speed)
        known = not isinstance(was.speed, str) and not isinstance(now.speed, str)
        code = "speed-raised" if not known or now.speed > was.speed else "speed-lowered"
        yield _change(code, name, f" runs at speed {values[1]} instead of {values[0]}", was.speed, now.speed, "speed")
    if was.stand_in != now.stand_in:
        code = "stand-in-refused" if now.stand_in == "refused" else "stand-in-allowed"
        said = " refuses the stand-in" if code == "stand-in-refused" else " lets the stand-in answer for providers"
        yield _change(code, name, said, was.stand_in, now.stand_in, "stand_in")
    if was.rehearsal != now.rehearsal:
        code = "rehearsal-wanted" if now.rehearsal == "required" else "rehearsal-dropped"
        said = " wants a rehearsal" if code == "rehearsal-wanted" else " wants no rehearsal any more"
        yield _change(code, name, said, was.rehearsal, now.rehearsal, "rehearsal")


def _speed(value: Any) -> str:
    return value if isinstance(value, str) else number(value)


def _change(code: str, name: str, said: str, before: Any, after: Any, field: str = "", **more: Any) -> Change:
    path = ["environments", name, *([field] if field else [])]
    return Change(
        code, ".".join(path), "", Who("environment", (name,)), said, before, after, ("rollout", *path), **more
    )

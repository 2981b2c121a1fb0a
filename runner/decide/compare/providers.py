"""What changed in the providers: which there are, how they are asked, and what their rows begin with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.model import Redirects
from runner.decide.compare.change import (
    Change,
    Who,
    addresses,
    apart,
    count,
    listed,
    paired,
    places,
    short,
    signed,
    span,
    turned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import Provider, Rollout
    from runner.decide.compare.change import Place

MUCH = 5
"""Polled so many times as often is dangerous."""
ACTIVE = "ACTIVE"
NOBODY = "the stand-in"
PLAIN = "http://"
OURSELVES = frozenset({"localhost", "127.0.0.1", "[::1]", "[", ""})


class _Both(NamedTuple):
    """A provider as it was and is, where it stands, and what is shown of its address and headers."""

    old: Provider
    new: Provider
    place: Place
    of: int
    shown: tuple[dict[str, Any], dict[str, Any]]

    def change(self, code: str, field: str, said: str, before: Any, after: Any) -> Change:
        path, who = f"providers.{self.new.name}.{field}", Who("provider", (self.new.name,), self.of)
        return Change(code, path, "", who, f" {said}", before, after, (*self.place, field))


def providers(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in the providers."""
    where = places(new, "providers", "providers")
    found = paired(
        old.providers,
        new.providers,
        lambda provider: provider.name,
        lambda provider: _text([sorted(provider.headers), provider.endpoint, _row(provider)]),
        _row,
    )
    for provider in found.gone:
        said = f" is gone; its {count(len(provider.sports), 'row')} stay as they are where they were written"
        yield _whole("provider-removed", provider, said, _plain(provider), None, ("providers",))
    fastest_s = min((provider.poll_interval_s for provider in old.providers), default=0)
    shown = [{each["name"]: each for each in side.declared["providers"]["providers"]} for side in (old, new)]
    for provider in found.come:
        faults = [*_faults(provider, shown[1][provider.name].get("endpoint", ""), fastest_s)]
        code = "provider-added-at-risk" if faults else "provider-added"
        on = "enabled" if provider.enabled else "not enabled"
        said = f" is new: {count(len(provider.sports), 'row')}, {on}, priority {provider.priority}"
        said = "; ".join([said, *faults])
        yield _whole(code, provider, said, None, _plain(provider), where[provider.name])
    for was, now in found.renamed:
        who, tail = Who("provider", (was.name,)), f" is called {short(now.name)} now"
        yield Change("provider-renamed", "providers", "", who, tail, was.name, now.name, (*where[now.name], "name"))
    for was, now in (*found.both, *found.renamed):
        pair = (shown[0][was.name], shown[1][now.name])
        if was != now or pair[0] != pair[1]:
            yield from _changed(_Both(was, now, where[now.name], len(new.providers), pair))
    yield from _secrets(old, new, {was.name: now.name for was, now in found.renamed}, where)
    yield from _sports(old, new)


def _secrets(old: Rollout, new: Rollout, renamed: dict[str, str], where: dict[str, Place]) -> Iterator[Change]:
    """Yield where a credential came to stand in the file, or does no longer."""
    before = {(renamed.get(name, name), key) for name, key in old.written_out}
    for code, places_of, said in (
        ("secret-written-out", new.written_out - before, "a credential written out in {}; make it a variable"),
        ("secret-taken-out", before - new.written_out, "no credential written out in {} any more; history keeps it"),
    ):
        for name, key in sorted(places_of):
            is_new = code == "secret-written-out"
            path = ("endpoint",) if key == "endpoint" else ("headers", key)
            place: Place = (*where[name], *path) if name in where else ("providers",)
            words = f" has {said.format('its address' if key == 'endpoint' else f'the header {short(key)}')}"
            who = Who("provider", (name,))
            yield Change(code, f"providers.{name}.{path[0]}", "", who, words, not is_new, is_new, place)


def _faults(provider: Provider, endpoint: str, fastest_s: float) -> Iterator[str]:
    """Yield what a new provider does that would be told as dangerous of one that there was."""
    if provider.status == ACTIVE:
        yield "its rows begin as ACTIVE"
    if provider.follow_redirects is Redirects.ANY:
        yield "it may redirect to any host"
    if provider.poll_interval_s * MUCH <= fastest_s:
        often = span(provider.poll_interval_s), span(fastest_s)
        yield f"it is polled every {often[0]}, and none was more often than every {often[1]}"
    if endpoint.startswith(PLAIN) and endpoint.removeprefix(PLAIN).partition("/")[0].partition(":")[0] not in OURSELVES:
        yield f"it is asked in plain text, which anybody on the way can read and change: {short(endpoint)}"


def _sports(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in the list of sports, as far as nobody serves them: that is told of the providers."""
    before, after = set(old.sports), set(new.sports)
    served = {sport for side in (old, new) for provider in side.providers for sport in provider.sports}
    more, fewer = sorted(after - before - served), sorted(before - after - served)
    if more or fewer:
        said = f"sports that no provider serves are listed otherwise: {listed(signed(more, fewer))}"
        place = ("providers", "sports")
        yield Change("sports-changed", "sports", said, None, "", sorted(before), sorted(after), place)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _row(provider: Provider) -> str:
    """Return what makes a provider recognisable where its address, too, has a new name."""
    return _text([*provider._replace(name="", sports=tuple(sorted(provider.sports)), endpoint=None, headers=())])


def _plain(provider: Provider) -> dict[str, Any]:
    return {"sports": list(provider.sports), "enabled": provider.enabled, "priority": provider.priority}


def _whole(code: str, provider: Provider, said: str, before: Any, after: Any, place: Place, **more: Any) -> Change:
    who = Who("provider", (provider.name,))
    return Change(code, f"providers.{provider.name}", "", who, said, before, after, place, **more)


def _changed(both: _Both) -> Iterator[Change]:
    yield from _standing(both)
    yield from _asking(both)
    yield from _address(both)
    if _text(both.old.capabilities) != _text(both.new.capabilities):
        before, after = _text(both.old.capabilities), _text(both.new.capabilities)
        said = f"has other capabilities: {listed(_different(both.old.capabilities, both.new.capabilities))}"
        yield both.change("capabilities-changed", "capabilities", said, before, after)


def _different(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what was and is under every key whose value is another, as JSON."""
    found = []
    for name in sorted({*old, *new}):
        values = [_text(side[name]) if name in side else "none" for side in (old, new)]
        if values[0] != values[1]:
            found.append(f"{name} {' -> '.join(apart(*values))}")
    return found


def _standing(both: _Both) -> Iterator[Change]:
    """Yield what changed in its rows, and in which stages choose it."""
    was, now = both.old, both.new
    if was.enabled is not now.enabled:
        code = "provider-enabled" if now.enabled else "provider-disabled"
        said = "is enabled" if now.enabled else "is not enabled any more"
        yield both.change(code, "enabled", said, was.enabled, now.enabled)
    if was.status != now.status:
        code = (
            "starts-active" if now.status == ACTIVE else "starts-inactive" if was.status == ACTIVE else "status-changed"
        )
        yield both.change(code, "status", f"begins as {now.status} instead of {was.status}", was.status, now.status)
    if was.priority != now.priority:
        said = f"has the priority {now.priority} instead of {was.priority}"
        yield both.change("priority-changed", "priority", said, was.priority, now.priority)
    before, after = set(was.sports), set(now.sports)
    if before != after:
        more, fewer = sorted(after - before), sorted(before - after)
        which = "others" if more and fewer else "more" if more else "fewer"
        said = f"serves {len(before)} -> {count(len(after), 'sport')}: {listed(signed(more, fewer))}"
        yield both.change(f"serves-{which}", "sports", said, sorted(before), sorted(after))


def _asking(both: _Both) -> Iterator[Change]:
    """Yield what changed in how often it is asked, and how patiently."""
    was, now = both.old, both.new
    if was.poll_interval_s != now.poll_interval_s:
        values = span(was.poll_interval_s), span(now.poll_interval_s)
        ratio = was.poll_interval_s / now.poll_interval_s
        code = "polled-less-often" if ratio < 1 else "polled-much-more-often" if ratio >= MUCH else "polled-more-often"
        times = f"{max(ratio, 1 / ratio):.3g}"
        times = "" if times == "1" else f", {times} times as {'often' if ratio > 1 else 'seldom'}"
        said = f"is polled every {values[1]} instead of every {values[0]}{times}"
        yield both.change(code, "poll_interval", said, *values)
    if patient := turned("timeout-raised", "timeout-lowered", was.timeout_s, now.timeout_s):
        values = span(was.timeout_s), span(now.timeout_s)
        yield both.change(patient, "timeout", f"is waited for {values[1]} instead of {values[0]}", *values)
    if again := turned("retries-raised", "retries-lowered", was.retries, now.retries):
        said = f"is asked again {was.retries} -> {count(now.retries, 'time')} after a failure"
        yield both.change(again, "retries", said, was.retries, now.retries)


def _address(both: _Both) -> Iterator[Change]:
    """Yield what changed in where requests go and what they carry; of secrets only that they changed."""
    was, now = both.old, both.new
    before, after = (shown.get("endpoint") or NOBODY for shown in both.shown)
    if (was.endpoint, before) != (now.endpoint, after):
        yield both.change(
            "endpoint-changed", "endpoint", f"has another address: {addresses(before, after)}", before, after
        )
    if different := _headers(both):
        names = [", ".join(sorted(shown.get("headers", {}))) or "none" for shown in both.shown]
        yield both.change("headers-changed", "headers", f"gets other headers: {listed(different)}", *names)
    if was.follow_redirects is not now.follow_redirects:
        code = "redirects-anywhere" if now.follow_redirects is Redirects.ANY else "redirects-confined"
        said = f"may redirect to {'any host' if code == 'redirects-anywhere' else 'its own host only'}"
        yield both.change(code, "follow_redirects", said, str(was.follow_redirects), str(now.follow_redirects))


def _headers(both: _Both) -> list[str]:
    """Return the names of the headers that come, go, or have another value."""
    values = [dict(each.headers) for each in (both.old, both.new)]
    shown = [each.get("headers", {}) for each in both.shown]
    found = []
    for name in sorted({*values[0], *values[1]}):
        if name not in values[0] or name not in values[1]:
            found.append(f"{'+' if name in values[1] else '-'} {name}")
        elif values[0][name] != values[1][name] or shown[0].get(name) != shown[1].get(name):
            found.append(f"{name} with another value")
    return found

"""Providers have names of their own, serve declared sports, and are asked where a request can go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runner.config.node import doubled
from runner.config.wording import choose

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runner.config.checks.declared import Declared
    from runner.config.node import Node
    from runner.errors import Problem

MOST_ROWS = 1_000_000


def problems(declared: Declared) -> Iterator[Problem]:
    """Yield what is wrong with providers.yaml."""
    providers = list(declared.providers["providers"].each())
    for name, first in doubled(provider["name"] for provider in providers):
        yield name.problem(f"the provider {name.value} is there twice, first in line {first.where.line}", "keep one")
    for sport, _ in doubled(declared.providers["sports"].each()):
        yield sport.problem(f"the sport {sport.value} is there twice", "keep one")
    sports = None if declared.sports is None else dict.fromkeys(declared.sports)
    for provider in providers:
        yield from _sports(provider, sports)
        yield from _endpoint(provider["endpoint"])
        yield from _two_users(provider)
        for key in ("poll_interval", "timeout"):
            yield from whole_seconds(provider[key])
    yield from _rows(declared)


def _rows(declared: Declared) -> Iterator[Problem]:
    """Yield that the rows are so many that nobody can mean it."""
    served = declared.served or ()
    rows = sum(len(provider.sports) for provider in served)
    if rows > MOST_ROWS:
        what = f"{len(served):,} providers with their sports are {rows:,} rows, more than {MOST_ROWS:,}"
        yield declared.providers["providers"].problem(what, "let providers serve fewer sports")


def whole_seconds(duration: Node) -> Iterator[Problem]:
    """Yield that *duration* has a fraction of a second, for which its column has no room."""
    length_s = duration.seconds
    if length_s is not None and length_s % 1:
        what = f"{duration.path[-1]} is {duration.value}, not a whole number of seconds"
        yield duration.problem(what, f"write {max(1, round(length_s))}s")


def _sports(provider: Node, known: Collection[str] | None) -> Iterator[Problem]:
    for sport in provider["sports"].each():
        if known is not None and sport.value not in known:
            yield sport.problem(f"no sport is called {sport.shown}", choose(sport.value, known))


def _endpoint(endpoint: Node) -> Iterator[Problem]:
    if isinstance(endpoint.value, str) and endpoint.value and not is_http(endpoint.value):
        what = "the endpoint is not an http or https URL"
        yield endpoint.problem(what, "write https://host/path; {sport} is the only word that may stand in braces")


def _two_users(provider: Node) -> Iterator[Problem]:
    """Yield that the endpoint and a header both say who is asking: a request has room for one."""
    endpoint = provider["endpoint"].value
    named = [header for name, header in provider["headers"].entries() if name.lower() == "authorization"]
    if named and isinstance(endpoint, str) and is_http(endpoint) and "@" in urlsplit(endpoint).netloc:
        what = "the endpoint has a user, and there is an Authorization header too"
        yield named[0].key_problem(what, "leave one of them out: a request has room for one")


def is_http(url: str) -> bool:
    """Say whether a request can go to *url*, in which `{sport}` may stand."""
    bare = url.replace("{sport}", "sport")
    try:
        parts = urlsplit(bare)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0 and not re.search(r"[{}\s]", bare)

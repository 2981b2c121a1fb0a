"""Orders to the stand-in that come from the environment: `draftkings:fail@partial_active,*:slow=1500ms`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.config.duration import seconds
from runner.config.model import Fault, FaultKind
from runner.config.wording import choose, shown
from runner.errors import Problem, Where

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

VARIABLE = "RUNNER_STAND_IN_FAULTS"

_ORDER = re.compile(r"(?P<provider>[^:@=]+):(?P<kind>[^:@=]+)(?:=(?P<value>[^:@]*))?(?:@(?P<since>.+))?")


class NotAFault(ValueError):
    """What stands there is no order to the stand-in. The text says why; `fix` what to write."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


def ordered(
    text: str, providers: Collection[str] | None, stages: Collection[str] | None
) -> tuple[tuple[Fault, ...], list[Problem]]:
    """
    Return the faults that *text* orders, and what is wrong with it.

    With None for the declared providers or stages, names of that kind are not checked.
    """
    faults: list[Fault] = []
    problems: list[Problem] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            fault = _fault(part)
        except NotAFault as error:
            problems.append(Problem(f"{shown(part)} {error}", Where(VARIABLE), error.fix))
            continue
        faults.append(fault)
        problems.extend(
            Problem(f"{shown(part)} names {what}", Where(VARIABLE), fix)
            for what, fix in _unknown(fault, providers, stages)
        )
    return tuple(faults), problems


def _unknown(
    fault: Fault, providers: Collection[str] | None, stages: Collection[str] | None
) -> Iterator[tuple[str, str]]:
    if providers is not None and fault.provider not in {"*", *providers}:
        yield f"no declared provider: {shown(fault.provider)}", choose(fault.provider, providers)
    if stages is not None and fault.since is not None and fault.since not in stages:
        yield f"no declared stage: {shown(fault.since)}", choose(fault.since, stages)


def _fault(part: str) -> Fault:
    found = _ORDER.fullmatch(part)
    if not found:
        raise NotAFault("is not a fault", "write PROVIDER:KIND, PROVIDER:KIND=VALUE or PROVIDER:KIND@STAGE")
    if found["kind"] not in set(FaultKind):
        raise NotAFault("has no known kind", choose(found["kind"], FaultKind))
    kind = FaultKind(found["kind"])
    value = found["value"]
    if kind is FaultKind.SLOW:
        return Fault(found["provider"], kind, found["since"], delay_s=_delay_s(value))
    if kind is FaultKind.FAIL:
        return Fault(found["provider"], kind, found["since"], status=_status(value))
    if value is not None:
        raise NotAFault("gives hang a value", "leave out the = and what follows")
    return Fault(found["provider"], kind, found["since"])


def _delay_s(value: str | None) -> float:
    try:
        return 1.5 if value is None else seconds(value)
    except ValueError:
        fix = "write a duration above 0 with its unit, such as slow=1500ms"
        raise NotAFault("has no duration after the =", fix) from None


def _status(value: str | None) -> int:
    if value is None:
        return 503
    if not re.fullmatch("[45][0-9][0-9]", value):
        raise NotAFault("has no HTTP error status after the =", "write a number from 400 to 599, such as fail=503")
    return int(value)

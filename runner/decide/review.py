"""What a reviewer has to know of each change: how dangerous it is, and whether the config judges it otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runner.decide.risk import Risk
from runner.decide.rules import standard

if TYPE_CHECKING:
    from runner.config.model import Reassessed, Rollout


class Judged(NamedTuple):
    """How dangerous something is here; `reason` is the config's, where it judges otherwise than the `rule`."""

    risk: Risk
    rule: Risk
    reason: str | None = None

    def plain(self) -> dict[str, str]:
        """Return it as flat data, for JSON: the rule and the reason only where the config judges otherwise."""
        found = {"risk": str(self.risk)}
        return found if self.reason is None else {**found, "by_rule": str(self.rule), "reason": self.reason}


class Judge:
    """
    Judges by the rules, and by what the configs say of them.

    What makes a risk greater counts at once, what makes it smaller once it is merged: of what the old and the new
    config make of it, the greater risk counts. A change is not judged by a leniency that it brings along.
    """

    def __init__(self, old: Rollout, new: Rollout) -> None:
        self._old = {each.code: each for each in old.reassessed}
        self._new = {each.code: each for each in new.reassessed}

    def __call__(self, code: str, rule: Risk | None = None) -> Judged:
        """Return how dangerous *code* is; *rule* is what it is by itself, where the rules do not know it."""
        by_rule = rule or standard(code)
        before, after = (_said(Judged(by_rule, by_rule), side.get(code)) for side in (self._old, self._new))
        return after if after.risk.rank > before.risk.rank else before


def _said(judged: Judged, said: Reassessed | None) -> Judged:
    return judged if said is None or said.risk == judged.risk else Judged(Risk(said.risk), judged.rule, said.reason)

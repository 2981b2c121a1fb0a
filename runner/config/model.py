"""
The declared rollout as frozen values, complete and checked: defaults are filled in, selections are resolved on demand.

Durations are seconds as declared; an environment's `speed` divides them when they are waited for.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISABLED = "disabled"
"""The safe start: the stage that stands before all declared ones, in which nothing is active beyond the seeds."""


class Mode(StrEnum):
    """How far a stage goes: measure only, writes that are taken back at once, writes that stay."""

    OBSERVE = "observe"
    SHADOW = "shadow"
    ACTIVE = "active"


class Kind(StrEnum):
    """Where a metric's number comes from."""

    PROBE = "probe"
    LOOKUP = "lookup"
    SQL = "sql"


class Reading(StrEnum):
    """What probes' answers are read for: how many failed, which share of them, or how long they took."""

    ERRORS = "errors"
    ERROR_RATE = "error_rate"
    RESPONSE_TIME = "response_time"


class Statistic(StrEnum):
    """How the samples of a stage become the one number that is compared."""

    SUM = "sum"
    MEAN = "mean"
    LAST = "last"
    MIN = "min"
    MAX = "max"
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"


class Policy(StrEnum):
    """What a missing number does: hold the stage until its deadline, or roll back at once. It never passes."""

    HOLD = "hold"
    ROLLBACK = "rollback"


class OnBreach(StrEnum):
    """How far a breach walks back."""

    PREVIOUS = "previous"
    DISABLED = "disabled"


class Level(StrEnum):
    """How far a rollback goes: drop what the rollout made, remove its rows, or only walk back through the stages."""

    EMERGENCY = "emergency"
    STANDARD = "standard"
    GRADUAL = "gradual"


AT_ONCE = frozenset({Level.EMERGENCY, Level.STANDARD})
"""The levels that are one transaction: they are done, or nothing of them is."""


class Metric(NamedTuple):
    """
    A named number and its source. `reading` is set for probes, `query` (one SQL scalar) for sql.

    With `max_age_s` the query says of when its number is, too, and one that is older is none.
    """

    name: str
    kind: Kind
    reading: Reading | None = None
    query: str | None = None
    timeout_s: float = 5.0
    max_age_s: float | None = None


class Threshold(NamedTuple):
    """
    The limits of a metric, in the metric's own unit; both ends are allowed.

    `min` and `max` fail, `warn_min` and `warn_max` only warn. `by_provider` judges every provider by itself, so that
    a slow one cannot hide behind fast ones. `failure_limit` is how many failing ticks a stage tolerates,
    `consecutive_failure_limit` how many in a row; None is no limit, and the loader leaves at least one of them set.
    """

    metric: str
    statistic: Statistic
    min: float | None = None
    max: float | None = None
    warn_min: float | None = None
    warn_max: float | None = None
    min_samples: int = 1
    by_provider: bool = False
    failure_limit: int | None = 0
    consecutive_failure_limit: int | None = None
    on_no_data: Policy = Policy.HOLD
    on_error: Policy = Policy.HOLD


class Selector(NamedTuple):
    """Which providers: those that meet every given condition; no condition selects all."""

    enabled: bool | None = None
    priority: str | None = None
    providers: tuple[str, ...] | None = None
    sports: tuple[str, ...] | None = None


class RefreshSelector(NamedTuple):
    """Which cache entries: those that expire within so many seconds from now, of these types; no condition: all."""

    expiring_within_s: float | None = None
    types: tuple[str, ...] | None = None


class Stage(NamedTuple):
    """
    A named step of the rollout.

    It is left once `duration_s` was observed and every threshold passes; `deadline_s` (from entry, observed time too)
    ends the waiting for data. `probe` says whose endpoints are asked.
    """

    name: str
    mode: Mode
    duration_s: float
    interval_s: float
    deadline_s: float
    thresholds: tuple[Threshold, ...]
    probe: Selector
    activate: Selector | None = None
    refresh: RefreshSelector | None = None

    @property
    def ticks(self) -> int:
        """How many measurements make the declared duration."""
        return max(1, int(self.duration_s / self.interval_s + 1e-9))

    @property
    def deadline_ticks(self) -> int:
        """How many measurements there are until the waiting for data ends; at least `ticks`."""
        return max(self.ticks, int(self.deadline_s / self.interval_s + 1e-9))


class Redirects(StrEnum):
    """How far a probe may be sent on: within the host it asked (scheme, name and port), or anywhere."""

    SAME_HOST = "same_host"
    ANY = "any"


class Provider(NamedTuple):
    """
    One provider as declared, for all the sports it serves.

    `endpoint` is a URL, may hold `{sport}`, and may be secret, as may be `headers`: neither is ever shown.
    None means that the stand-in answers.
    """

    name: str
    sports: tuple[str, ...]
    enabled: bool
    status: str
    priority: str
    poll_interval_s: int
    timeout_s: int
    retries: int
    capabilities: dict[str, Any]
    endpoint: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    follow_redirects: Redirects = Redirects.SAME_HOST

    def __repr__(self) -> str:
        return f"Provider({self.name!r})"


class Target(NamedTuple):
    """One row of provider_states as declared: a provider serving a sport."""

    provider: Provider
    sport: str

    @property
    def key(self) -> tuple[str, str]:
        """The row's natural key."""
        return self.provider.name, self.sport


class CacheEntry(NamedTuple):
    """One cache entry as declared. `data` is any JSON value; `confidence` is from 0 to 1."""

    key: str
    type: str
    rationale_type: str
    ttl_s: int
    confidence: float
    data: Any


class Environment(NamedTuple):
    """
    Where a rollout goes.

    `speed` divides every duration; `database` is a URL that may hold a password; `engine` is what its scheme stands
    for, and the folder of its migrations; `stand_in` says whether the stand-in may answer, `must_rehearse` whether a
    config has to be rehearsed before it is applied.
    """

    name: str
    database: str
    engine: str
    speed: float = 1.0
    stand_in: bool = True
    must_rehearse: bool = False

    def __repr__(self) -> str:
        return f"Environment({self.name!r})"


class Subject(StrEnum):
    """What an exit criterion looks at."""

    TABLE = "table"
    INTEGRITY = "integrity"
    COUNT = "count"
    COVERAGE = "coverage"
    JSON = "json"
    NOT_EXPIRED = "not_expired"
    HTTP = "http"
    DATABASE = "database"
    IMPORT = "import"
    FIELDS = "fields"
    SQL = "sql"


class Severity(StrEnum):
    """What a criterion that is not met does: fail the whole, or only warn."""

    FAIL = "fail"
    WARN = "warn"


class Expectation(NamedTuple):
    """What a value has to be. `sign` is `==`, `!=`, `<`, `<=`, `>`, `>=` or `in`; only `in` has several `limits`."""

    sign: str
    limits: tuple[float | str, ...]

    def is_met_by(self, value: float | str) -> bool:
        """Say whether *value*, a number or a text as the limits are, is as expected."""
        first: Any = self.limits[0]
        given: Any = value
        match self.sign:
            case "==" | "in":
                return value in self.limits
            case "!=":
                return value not in self.limits
            case "<":
                return bool(given < first)
            case "<=":
                return bool(given <= first)
            case ">":
                return bool(given > first)
            case ">=":
                return bool(given >= first)
        raise ValueError(self.sign)

    def __str__(self) -> str:
        shown = (f"'{limit}'" if isinstance(limit, str) else f"{limit}" for limit in self.limits)
        return f"{self.sign} {', '.join(shown)}"


class Criterion(NamedTuple):
    """
    One exit criterion, in its category; which of the fields after `timeout_s` are set depends on its subject.

    `where` is an SQL condition on rows of `table`; `values` all have to stand in `column`. `url` may be secret, and is
    None where the stand-in answers. `classes` are `package.module:Class`, each with the table whose columns its fields
    have to be, if any.
    """

    name: str
    category: str
    subject: Subject
    expect: Expectation
    severity: Severity = Severity.FAIL
    timeout_s: float = 5.0
    table: str = ""
    column: str = ""
    where: str | None = None
    values: tuple[float | str, ...] = ()
    url: str | None = None
    classes: tuple[tuple[str, str], ...] = ()
    query: str = ""

    def __repr__(self) -> str:
        return f"Criterion({self.name!r})"


class Snapshots(NamedTuple):
    """
    Where snapshots stand and how many.

    `folder` counts from where the runner is started, as the database does; None is the database's own. `keep` is how
    many automatic ones stay.
    """

    folder: str | None = None
    keep: int = 10
    before_run: bool = True


class FaultKind(StrEnum):
    """What the stand-in can be told to do to a provider's requests."""

    FAIL = "fail"
    SLOW = "slow"
    HANG = "hang"


class Fault(NamedTuple):
    """An order to the stand-in: misbehave for *provider* (`*`: every one) from stage *since* on (None: always)."""

    provider: str
    kind: FaultKind
    since: str | None = None
    delay_s: float = 1.5
    status: int = 503


class ProbeSettings(NamedTuple):
    """
    How probes behave.

    `timeout_s` caps every provider's own; `concurrency` is how many requests are under way at once;
    `record` keeps the live columns of provider_states true in active stages.
    """

    timeout_s: float = 5.0
    concurrency: int = 100
    record: bool = True


class Rollback(NamedTuple):
    """
    How a rollout goes back.

    `observe_s` is how long a gradual rollback observes at each stage; `within_s` is what each level promises.
    """

    on_breach: OnBreach = OnBreach.PREVIOUS
    observe_s: float = 300
    within_s: tuple[tuple[Level, float], ...] = ()

    def promise_s(self, level: Level) -> float:
        """Return how many seconds *level* may take."""
        return dict(self.within_s)[level]


class Reassessed(NamedTuple):
    """What a review is to make of a kind of change, and why: `risk` is safe, caution, dangerous or blocked."""

    code: str
    risk: str
    reason: str


class Statement(NamedTuple):
    """One SQL statement and the line of its file on which it begins."""

    sql: str
    line: int


class Ignore(NamedTuple):
    """
    A comment `-- lint:ignore CODE reason` and its line; what it does not say is empty.

    `statement` is the line on which the statement that it is for begins, or its own where there is none; None is the
    whole file.
    """

    code: str
    reason: str
    line: int
    statement: int | None


class Migration(NamedTuple):
    """
    One migration file; `path` is what messages call it.

    `version` is the leading number of its name, as text; `checksum` is `sha256:` and the digest of its LF-normalised
    bytes. `verify` are queries that must each return one true value. With `in_transaction` False the one statement of
    `up` runs outside of any transaction.
    """

    version: str
    name: str
    path: Path
    checksum: str
    up: tuple[Statement, ...]
    down: tuple[Statement, ...]
    verify: tuple[Statement, ...]
    in_transaction: bool = True
    destructive: bool = False
    lock_timeout_s: float | None = None
    ignores: tuple[Ignore, ...] = ()


class Rollout(NamedTuple):
    """
    Everything that was declared.

    `stages` are in order and do not hold `disabled`, which stands before them. `declared` is the plain data of the
    three files before the environment's values were put in, so it holds no secret; `digest` is its SHA-256 with prefix.
    `keep_details_s` is how long the ledger keeps samples, and images of rows, of what is over. `written_out` are the
    providers, each with the header, or `endpoint`, in which a credential stands in the file itself.
    """

    name: str
    path: Path
    environment: Environment
    sports: tuple[str, ...]
    providers: tuple[Provider, ...]
    caches: tuple[CacheEntry, ...]
    lookups: tuple[str, ...]
    metrics: tuple[Metric, ...]
    stages: tuple[Stage, ...]
    rollback: Rollback
    probe: ProbeSettings
    faults: tuple[Fault, ...]
    migrations: tuple[Migration, ...]
    criteria: tuple[Criterion, ...]
    snapshots: Snapshots
    declared: dict[str, Any]
    digest: str
    keep_details_s: float = 90 * 86_400
    reassessed: tuple[Reassessed, ...] = ()
    written_out: frozenset[tuple[str, str]] = frozenset()

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every row of provider_states that is declared: providers in file order, expanded over their sports."""
        return tuple(Target(provider, sport) for provider in self.providers for sport in provider.sports)

    def select(self, selector: Selector) -> Iterator[Target]:
        """Yield the targets that meet every condition of *selector*, in declared order."""
        for target in self.targets:
            provider = target.provider
            if (
                (selector.enabled is None or provider.enabled == selector.enabled)
                and (selector.priority is None or provider.priority == selector.priority)
                and (selector.providers is None or provider.name in selector.providers)
                and (selector.sports is None or target.sport in selector.sports)
            ):
                yield target

    def stage(self, name: str) -> Stage:
        """Return the declared stage called *name*; KeyError where there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def position(self, name: str) -> int:
        """Say how far along stage *name* is: 0 is disabled, 1 the first declared; KeyError where there is none."""
        return 0 if name == DISABLED else 1 + self.stages.index(self.stage(name))

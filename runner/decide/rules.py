"""
Every kind of change that a review knows, and how dangerous it is.

One table. What finds the changes stands in `compare`; what a reviewer reads of each is its sentence there, with the
values. docs/risk.md is written from here.
"""

from __future__ import annotations

from runner.decide.lint.rules import BY_CODE as LINTED
from runner.decide.risk import Risk, Rule

SAFE, CAUTION, DANGEROUS, BLOCKED = Risk

GROUPS = {
    "What a stage lets through": (
        Rule("gate-loosened", DANGEROUS, "Values that were a breach pass now.", "gate-tightened"),
        Rule("gate-tightened", SAFE, "Values that passed are a breach now.", "gate-loosened"),
        Rule("gate-removed", DANGEROUS, "Nothing holds the stage back any more for this metric.", "gate-added"),
        Rule("gate-added", SAFE, "The stage has to meet one more threshold.", "gate-removed"),
        Rule("fewer-samples", DANGEROUS, "The gate is content with less proof.", "more-samples"),
        Rule("more-samples", SAFE, "The gate wants more proof.", "fewer-samples"),
        Rule("failures-tolerated", DANGEROUS, "More failing measurements are let pass.", "failures-refused"),
        Rule("failures-refused", SAFE, "Fewer failing measurements are let pass.", "failures-tolerated"),
        Rule("silence-tolerated", CAUTION, "A missing number waits instead of rolling back.", "silence-refused"),
        Rule("silence-refused", SAFE, "A missing number rolls back instead of waiting.", "silence-tolerated"),
        Rule("judged-together", DANGEROUS, "One bad provider can hide behind many good ones.", "judged-apart"),
        Rule("judged-apart", SAFE, "Every provider has to meet the threshold by itself.", "judged-together"),
        Rule("statistic-changed", CAUTION, "The same samples give another number."),
        Rule("warning-loosened", CAUTION, "People are warned later.", "warning-tightened"),
        Rule("warning-tightened", SAFE, "People are warned earlier.", "warning-loosened"),
        Rule("metric-changed", DANGEROUS, "The gates judge another number under the same name."),
        Rule("metric-added", SAFE, "There is one more number; only a threshold makes it count.", "metric-removed"),
        Rule("metric-removed", SAFE, "There is one number less; its thresholds tell what that means.", "metric-added"),
        Rule("older-data-allowed", DANGEROUS, "A number that has gone stale counts as one.", "older-data-refused"),
        Rule("older-data-refused", SAFE, "A number that has gone stale is none.", "older-data-allowed"),
        Rule("lookups-changed", CAUTION, "The hit rate is measured by other look-ups."),
        Rule(
            "lookups-hit-more",
            DANGEROUS,
            "By the other look-ups a gate on the hit rate passes more easily; where nearly all hit, it cannot fail.",
            "lookups-hit-fewer",
        ),
        Rule(
            "lookups-hit-fewer",
            CAUTION,
            "The hit rate falls by what is declared; a gate on it may breach.",
            "lookups-hit-more",
        ),
        Rule(
            "entries-hit-more",
            SAFE,
            "The same look-ups meet more entries that are warm from the start.",
            "lookups-hit-fewer",
        ),
    ),
    "How stages follow each other": (
        Rule("stage-added", CAUTION, "The rollout has one more step.", "stage-removed"),
        Rule(
            "stage-added-at-risk",
            DANGEROUS,
            "The rollout has one more step, and it lets through what no other stage does.",
            "stage-removed",
        ),
        Rule(
            "stage-removed", DANGEROUS, "What the stage measured and held back, nothing does any more.", "stage-added"
        ),
        Rule("stage-renamed", CAUTION, "A rollout that stands at the old name has to be walked back first."),
        Rule("stages-reordered", DANGEROUS, "A rollout under way has passed them in another order, and is refused."),
        Rule("mode-raised", DANGEROUS, "What was measured, or taken back at once, is done for good.", "mode-lowered"),
        Rule("mode-lowered", CAUTION, "What was done is only tried, or only measured.", "mode-raised"),
        Rule("shadow-lost", DANGEROUS, "The writes are made for good without having been tried.", "shadow-gained"),
        Rule("shadow-gained", SAFE, "The writes are tried before they are made for good.", "shadow-lost"),
        Rule("observation-lost", DANGEROUS, "Nothing is measured before the first write.", "observation-gained"),
        Rule("observation-gained", SAFE, "The first write comes after a stage that only measures.", "observation-lost"),
        Rule("step-between-lost", DANGEROUS, "Everything goes live in one step.", "step-between-gained"),
        Rule("step-between-gained", SAFE, "A part goes live before everything does.", "step-between-lost"),
        Rule("exposure-raised", DANGEROUS, "A fault hits more rows before the gate can see it.", "exposure-lowered"),
        Rule("exposure-lowered", SAFE, "A fault hits fewer rows before the gate can see it.", "exposure-raised"),
        Rule(
            "exposure-shifted",
            CAUTION,
            "The largest step is smaller, but rows are left out, or fewer or looser gates stand between the steps.",
            "exposure-raised",
        ),
        Rule(
            "never-switched-on",
            CAUTION,
            "The rollout is complete without them: they stay off.",
            "switched-on-at-last",
        ),
        Rule("switched-on-at-last", CAUTION, "More rows are live when the rollout is complete.", "never-switched-on"),
        Rule("activates-more", CAUTION, "The stage switches on more rows than before.", "activates-fewer"),
        Rule("activates-fewer", CAUTION, "The stage switches on fewer rows than before.", "activates-more"),
        Rule("activates-others", CAUTION, "The stage switches on other rows than before."),
        Rule("measures-fewer", DANGEROUS, "Who is not asked cannot breach.", "measures-more"),
        Rule("measures-more", SAFE, "More rows are asked, and can breach.", "measures-fewer"),
        Rule("measures-others", CAUTION, "Other rows are asked than before."),
        Rule("chosen-otherwise", SAFE, "The same rows are chosen as of now; the next edit may meet others."),
        Rule("live-from-seed", DANGEROUS, "Rows are live before anything of them is measured.", "not-live-from-seed"),
        Rule("not-live-from-seed", SAFE, "Fewer rows are live before anything is measured.", "live-from-seed"),
        Rule("live-unasked", DANGEROUS, "Rows are live in the stage and cannot breach it.", "live-asked"),
        Rule("live-asked", SAFE, "Rows that are live in the stage can breach it.", "live-unasked"),
        Rule("refresh-changed", CAUTION, "Other cache entries are renewed than before."),
    ),
    "How long it is watched": (
        Rule("watched-much-shorter", DANGEROUS, "Half of the time or less is left to see a fault.", "watched-longer"),
        Rule("watched-shorter", CAUTION, "There is less time to see a fault.", "watched-longer"),
        Rule("watched-longer", SAFE, "There is more time to see a fault.", "watched-shorter"),
        Rule("measured-less-often", CAUTION, "A fault is seen later, and on fewer samples.", "measured-more-often"),
        Rule(
            "measured-much-less-often",
            DANGEROUS,
            "There are few measurements left by which the gates judge.",
            "measured-more-often",
        ),
        Rule("measured-more-often", CAUTION, "Every provider gets more requests.", "measured-less-often"),
        Rule("deadline-later", CAUTION, "The stage waits longer for missing numbers.", "deadline-sooner"),
        Rule("deadline-sooner", CAUTION, "The stage waits less for missing numbers.", "deadline-later"),
    ),
    "Providers": (
        Rule("provider-added", CAUTION, "There is one more to ask and to switch on.", "provider-removed"),
        Rule(
            "provider-added-at-risk",
            DANGEROUS,
            "There is one more, and it begins with what would be dangerous of one that there was.",
            "provider-removed",
        ),
        Rule(
            "provider-removed",
            CAUTION,
            "Its rows are not written any more; those that are there stay.",
            "provider-added",
        ),
        Rule("provider-renamed", CAUTION, "It gets new rows; those of the old name stay as they are."),
        Rule(
            "provider-enabled",
            CAUTION,
            "Stages that select who is enabled ask it, and switch it on.",
            "provider-disabled",
        ),
        Rule("provider-disabled", CAUTION, "Stages that select who is enabled leave it out.", "provider-enabled"),
        Rule(
            "starts-active",
            DANGEROUS,
            "Its rows are active from the seed on, before any measurement.",
            "starts-inactive",
        ),
        Rule("starts-inactive", CAUTION, "Its rows wait for a stage to switch them on.", "starts-active"),
        Rule("status-changed", CAUTION, "Its rows begin with another status."),
        Rule("priority-changed", CAUTION, "Stages that select by priority select it otherwise."),
        Rule("serves-more", CAUTION, "It gets rows for more sports.", "serves-fewer"),
        Rule(
            "serves-fewer",
            CAUTION,
            "Rows for some sports are not written any more; they stay as they are.",
            "serves-more",
        ),
        Rule("serves-others", CAUTION, "It gets rows for other sports; those that are there stay as they are."),
        Rule("polled-much-more-often", DANGEROUS, "It may shut us out, or its bill grow.", "polled-less-often"),
        Rule("polled-more-often", CAUTION, "It gets more requests.", "polled-less-often"),
        Rule(
            "polled-less-often",
            CAUTION,
            "It gets fewer requests; what the application shows is older.",
            "polled-more-often",
        ),
        Rule(
            "retries-raised",
            CAUTION,
            "A failing provider gets more requests, and its failures hide.",
            "retries-lowered",
        ),
        Rule("retries-lowered", SAFE, "A failure shows sooner.", "retries-raised"),
        Rule("timeout-raised", CAUTION, "What hangs is waited for longer.", "timeout-lowered"),
        Rule("timeout-lowered", CAUTION, "What is slow fails sooner.", "timeout-raised"),
        Rule("endpoint-changed", DANGEROUS, "Requests, and the headers with them, go to another address."),
        Rule("headers-changed", CAUTION, "Requests carry something else, a credential perhaps."),
        Rule(
            "secret-written-out",
            DANGEROUS,
            "The credential stands in the repository, and in its history for good.",
            "secret-taken-out",
        ),
        Rule("secret-taken-out", SAFE, "It still stands in the history: have it replaced.", "secret-written-out"),
        Rule("redirects-anywhere", DANGEROUS, "The provider decides where our requests go.", "redirects-confined"),
        Rule("redirects-confined", SAFE, "Requests stay with the host that was asked.", "redirects-anywhere"),
        Rule("capabilities-changed", CAUTION, "The application reads something else of the provider, a rate perhaps."),
        Rule("sports-changed", SAFE, "What is listed there and served by no provider has no rows."),
    ),
    "Caches": (
        Rule("cache-entries-added", SAFE, "More entries are warm from the start.", "cache-entries-removed"),
        Rule(
            "cache-entries-removed",
            CAUTION,
            "They are not warmed any more; those that are there stay until they expire.",
            "cache-entries-added",
        ),
        Rule(
            "cache-mostly-removed",
            DANGEROUS,
            "At least half of the entries are not warmed any more: the first requests go past the cache.",
            "cache-entries-added",
        ),
        Rule("cache-keys-renamed", CAUTION, "Who looks the old key up misses."),
        Rule("cache-data-changed", CAUTION, "The application gets other data."),
        Rule("cache-moved", CAUTION, "The application looks for it under another type."),
        Rule("ttl-shortened", CAUTION, "Entries expire sooner, perhaps before the rollout is done.", "ttl-lengthened"),
        Rule("ttl-lengthened", CAUTION, "Entries are served when they are older.", "ttl-shortened"),
    ),
    "Exit criteria": (
        Rule("criterion-added", SAFE, "One more thing is proved at the end.", "criterion-removed"),
        Rule(
            "criterion-removed", DANGEROUS, "It is not proved any more that this holds at the end.", "criterion-added"
        ),
        Rule("criterion-loosened", DANGEROUS, "What failed at the end passes now.", "criterion-tightened"),
        Rule("criterion-tightened", SAFE, "What passed at the end fails now.", "criterion-loosened"),
        Rule("criterion-only-warns", DANGEROUS, "It is told, and stops nothing any more.", "criterion-fails"),
        Rule("criterion-fails", SAFE, "It was only told, and is now wanted.", "criterion-only-warns"),
        Rule("criterion-replaced", DANGEROUS, "Something else is proved under the same name."),
        Rule(
            "criterion-rows-changed",
            DANGEROUS,
            "Nobody can tell from here whether the condition is looser; one that no row meets proves nothing.",
        ),
        Rule("criterion-changed", CAUTION, "It wants something else, or asks elsewhere: what failed may pass."),
        Rule(
            "wanted-undeclared",
            DANGEROUS,
            "The criterion is not met at the end, unless rows are left from before.",
            "wanted-declared",
        ),
        Rule("wanted-declared", SAFE, "The criterion can be met by what is declared.", "wanted-undeclared"),
        Rule("criterion-renamed", SAFE, "The same is proved under another name."),
    ),
    "The way back": (
        Rule(
            "breach-goes-back-less",
            CAUTION,
            "A breach leaves the stages before it as they are.",
            "breach-goes-back-more",
        ),
        Rule("breach-goes-back-more", CAUTION, "A breach takes everything back.", "breach-goes-back-less"),
        Rule("rollback-watches-shorter", CAUTION, "A gradual rollback looks for less long.", "rollback-watches-longer"),
        Rule("rollback-watches-longer", SAFE, "A gradual rollback looks for longer.", "rollback-watches-shorter"),
        Rule("promise-changed", CAUTION, "A rollback is measured by another promise."),
        Rule("snapshot-dropped", DANGEROUS, "There is no copy from before the run to go back to.", "snapshot-taken"),
        Rule("snapshot-taken", SAFE, "There is a copy from before the run to go back to.", "snapshot-dropped"),
        Rule("fewer-snapshots-kept", CAUTION, "Older copies are removed sooner.", "more-snapshots-kept"),
        Rule("more-snapshots-kept", SAFE, "Older copies are removed later.", "fewer-snapshots-kept"),
        Rule("snapshots-moved", CAUTION, "Copies that stand in the old folder are not found any more."),
        Rule("details-kept-shorter", CAUTION, "Measurements and values are forgotten sooner.", "details-kept-longer"),
        Rule("details-kept-longer", SAFE, "Measurements and values are kept longer.", "details-kept-shorter"),
    ),
    "Where it goes": (
        Rule("rollout-renamed", DANGEROUS, "The ledger knows it by the old name: it begins anew under the new one."),
        Rule("environment-added", CAUTION, "The rollout can go to one more place.", "environment-removed"),
        Rule(
            "environment-shares-database",
            DANGEROUS,
            "There is another way to the same database, which may ask for less.",
            "environment-removed",
        ),
        Rule("environment-removed", CAUTION, "The rollout cannot go there any more.", "environment-added"),
        Rule("environment-renamed", CAUTION, "Who names it by `--env` has to use the new name."),
        Rule("database-changed", DANGEROUS, "The rollout goes to another database."),
        Rule("speed-raised", DANGEROUS, "Every stage takes less time by the clock.", "speed-lowered"),
        Rule("speed-lowered", SAFE, "Every stage takes more time by the clock.", "speed-raised"),
        Rule("rehearsal-dropped", DANGEROUS, "What nobody has rehearsed can be applied.", "rehearsal-wanted"),
        Rule("rehearsal-wanted", SAFE, "Only what was rehearsed can be applied.", "rehearsal-dropped"),
        Rule("stand-in-allowed", DANGEROUS, "Made-up answers may count as measured.", "stand-in-refused"),
        Rule("stand-in-refused", SAFE, "Only real providers answer.", "stand-in-allowed"),
        Rule(
            "faults-changed",
            CAUTION,
            "Runs that the stand-in answers try other failures, or none; real providers are asked as before.",
        ),
        Rule(
            "probing-changed", CAUTION, "Another number of requests is under way at once: answers may get slower by it."
        ),
        Rule(
            "live-columns-dropped",
            CAUTION,
            "What provider_states says of polls and errors stays as it was: criteria on it prove nothing of the run.",
            "live-columns-kept",
        ),
        Rule(
            "live-columns-kept",
            SAFE,
            "What provider_states says of polls and errors is kept true in active stages.",
            "live-columns-dropped",
        ),
        Rule(
            "variable-changed",
            CAUTION,
            "The value comes from the environment, or no longer does: no review sees it there.",
        ),
    ),
    "Migrations": (
        Rule(
            "migration-added",
            CAUTION,
            "The schema changes; what the lint says of it stands beside.",
            "migration-removed",
        ),
        Rule("migration-removed", BLOCKED, "Where it was applied, it is missed and refused.", "migration-added"),
        Rule("migration-edited", BLOCKED, "Where it was applied, it is refused: applied history does not change."),
        Rule("migration-renumbered", BLOCKED, "Where it was applied, its old number is missed and refused."),
        Rule("migration-renamed", SAFE, "It is known by its number."),
        Rule("migration-too-late", BLOCKED, "Where later ones were applied, it is refused.", "migration-removed"),
    ),
    "The review itself": (
        Rule("risk-lowered", DANGEROUS, "Reviews will make less of such changes.", "risk-raised"),
        Rule("risk-raised", SAFE, "Reviews will make more of such changes.", "risk-lowered"),
        Rule("risk-reason-changed", SAFE, "Reviews will give another reason for the same risk."),
    ),
}
"""What belongs together, under the heading that docs/risk.md has for it."""

RULES = tuple(rule for group in GROUPS.values() for rule in group)

BY_CODE = {rule.code: rule for rule in RULES}


def standard(code: str) -> Risk:
    """Return how dangerous *code* is where no config says otherwise."""
    return (BY_CODE.get(code) or LINTED[code]).risk

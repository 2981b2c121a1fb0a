"""Every kind of change that a review knows: one edit that is it, its sentence, and one beside it that is not."""
# ruff: noqa: E501  edits and sentences stand as they are

import json
from typing import NamedTuple

import pytest
from edits import BUNDLED, FILES, edited, told

from runner.decide.rules import RULES

BACK = "back"
"""As a twin: the same edit, the other way round."""


class Case(NamedTuple):
    """From the bundled rollout with `base`, `edit` is `code`, told as `what`; `twin` (edits, or BACK) is not."""

    code: str
    what: str
    edit: tuple[str, ...] | str
    twin: tuple[str, ...] | str = BACK
    base: tuple[str, ...] | str = ()


SQL_METRIC = (
    'errors:             {kind: probe => depth: {kind: sql, query: "SELECT count(*) FROM sports"}\n  errors:             {kind: probe',
    "errors:             {max: 5} => depth: {min: 1}\n  errors:             {max: 5}",
)
BETMGM = """\
  - name: betmgm
    enabled: false
    poll_interval: 60s
    timeout: 30s
    retries: 3
"""
HEADERS = "fanduel | retries: 3 => retries: 3\n    headers: {Authorization: s3cr3t, Accept: json}"
STAGE = "\n  - name: {}\n    mode: {}\n    duration: 10m\n    interval: 30s\n    activate: {}"
LOOSE = STAGE.format("bigbang", "active", "all") + (
    "\n    thresholds: {errors: {max: 100000}, response_time_ms: {max: 90000}, cache_hit_rate_pct: {min: 1}}"
)
LATER = (
    "sql/sqlite/0004_later.sql <= -- migrate:up\nCREATE TABLE later (id INTEGER);\n-- migrate:down\nDROP TABLE later;\n"
)
SECOND = (
    "sql/sqlite/0007_last.sql <= -- migrate:up\nCREATE TABLE last (id INTEGER);\n-- migrate:down\nDROP TABLE last;\n"
)
PRODUCTION = 'production: {database: "${DATABASE_URL}", stand_in: refused, rehearsal: required}'
REVIEW = "rollback: {on => review: {risks: {gate-loosened: {risk: caution, reason: tried before}}}\nrollback: {on"
PARTIAL = """\
  - name: partial_active                        # the important providers go live
    mode: active
    duration: 20m
    interval: 30s
    activate: {priority: high}
    refresh: {expiring_within: 1h}
"""
TRIED = PARTIAL.replace("mode: active", "mode: shadow")
SHADOW = """\
  - name: shadow_mode                           # run the writes to come, and take them back at once
    mode: shadow
    duration: 15m
    interval: 30s
    activate: {enabled: true}
    refresh: {expiring_within: 1h}
"""
DARK = """\
  - name: dark_mode                             # measure only
    mode: observe
    duration: 10m
    interval: 30s
"""
FANDUEL = """\
  - name: fanduel
    enabled: true
    poll_interval: 60s
    timeout: 30s
    retries: 3
    endpoint: ${FANDUEL_URL:-}
    capabilities: {live_odds: true, props: true, futures: true, requests_per_minute: 120}
"""
NEWCOMER = FANDUEL.replace("fanduel", "caesars").replace("FANDUEL", "CAESARS")
FULL = FILES["config/rollout.yaml"].partition("  - name: full_active")[2].partition("\nrollback:")[0]
FULL = f"  - name: full_active{FULL}"
PLAYERS = """\
      - {key: "player:luka_doncic", confidence: 0.75, data: {player: Luka Doncic, team: DAL, props: 12}}
"""
FACTORS = """\
      - {key: "factor:nba_v2.1", confidence: 0.85, data: {model: nba_v2.1, factors: [pace, efficiency, matchup]}}
      - {key: "factor:mlb_v1.8", confidence: 0.85, data: {model: mlb_v1.8, factors: [batting, pitching, ballpark]}}
      - {key: "factor:nfl_v3.0", confidence: 0.85, data: {model: nfl_v3.0, factors: [offense, defense, weather]}}
      - {key: "factor:nhl_v1.5", confidence: 0.85, data: {model: nhl_v1.5, factors: [shooting, saves, power_play]}}
"""
PLAYER = FILES["config/caches.yaml"].partition("  player:\n")[2].partition("\nlookups:")[0]
PLAYER = f"  player:\n{PLAYER}"
CORRELATIONS = FILES["config/caches.yaml"].partition("    entries:\n")[2].partition("  factor:")[0]
INTEGRITY = "    database_integrity: {kind: integrity}\n"
CASES = (
    # what a stage lets through
    Case(
        "gate-loosened",
        "gate loosened: cache_hit_rate_pct min 70 -> 60, in every stage",
        "min: 70 => min: 60",
        "min: 70 => min: 71",
    ),
    Case(
        "gate-loosened",
        "gate loosened: errors max 5 -> 6, in stage dark_mode",
        "dark_mode | interval: 30s => interval: 30s\n    thresholds: {errors: {max: 6}}",
        "max: 5} => max: 5.0}",
    ),
    Case(
        "gate-loosened",
        "gate loosened: response_time_ms is judged by its p50 instead of its p90, in every stage",
        "statistic: p90 => statistic: p50",
        "statistic: p90 => statistic: p99",
        "max: 1000, => max: 1000, statistic: p90,",
    ),
    Case(
        "gate-loosened",
        "gate loosened: errors is judged by its mean instead of its sum, in every stage",
        "max: 5} => max: 5, statistic: mean}",
        "max: 5} => max: 5, statistic: sum}",
    ),
    Case(
        "gate-loosened",
        "gate loosened: errors max 5 -> no limit, in every stage",
        "max: 5} => warn_max: 5}",
        "max: 5} => max: 5, warn_max: 3}",
    ),
    Case(
        "gate-tightened",
        "gate tightened: response_time_ms max 1000 -> 900, in every stage",
        "max: 1000 => max: 900",
        "max: 1000 => max: 1e3",
    ),
    Case(
        "gate-removed",
        "gate removed: errors max 5, in every stage",
        "  errors:             {max: 5}                  # failed requests, counted per stage\n => ",
        "max: 5}  => max: 4} ",
    ),
    Case(
        "gate-added",
        "gate added: more max 9, in stage dark_mode",
        "dark_mode | interval: 30s => interval: 30s\n    thresholds: {more: {max: 9}}",
        "dark_mode | interval: 30s => interval: 30s\n    thresholds: {errors: {max: 4}}",
        "cache_hit_rate_pct: {kind => more: {kind: probe, reading: error_rate}\n  cache_hit_rate_pct: {kind",
    ),
    Case(
        "fewer-samples",
        "cache_hit_rate_pct is content with 5 samples instead of 50, in every stage",
        "min_samples: 50 => min_samples: 5",
        "min_samples: 50 => min_samples: 0x32",
    ),
    Case(
        "more-samples",
        "response_time_ms wants 20 samples instead of 10, in every stage",
        "min_samples: 10 => min_samples: 20",
    ),
    Case(
        "failures-tolerated",
        "errors tolerates 2 failing ticks instead of 0, in every stage",
        "max: 5} => max: 5, failure_limit: 2}",
        "max: 5} => max: 5, failure_limit: 0}",
    ),
    Case(
        "failures-tolerated",
        "errors tolerates any number of failing ticks instead of 0, in every stage",
        "max: 5} => max: 5, consecutive_failure_limit: 3}",
        "max: 5} => max: 5, failure_limit: 0, consecutive_failure_limit: 3}",
    ),
    Case(
        "failures-refused",
        "errors tolerates 3 failing ticks in a row instead of any number, in every stage",
        "max: 5} => max: 5, failure_limit: 0, consecutive_failure_limit: 3}",
    ),
    Case(
        "silence-tolerated",
        "errors waits where its source cannot be read (on_error: rollback -> hold), in every stage",
        "on_error: rollback => on_error: hold",
        BACK,
        "max: 5} => max: 5, on_error: rollback}",
    ),
    Case(
        "silence-refused",
        "errors rolls back where its number is missing (on_no_data: hold -> rollback), in every stage",
        "max: 5} => max: 5, on_no_data: rollback}",
        "max: 5} => max: 5, on_no_data: hold}",
    ),
    Case(
        "judged-together",
        "response_time_ms is judged over all providers at once instead of provider by provider, in every stage",
        ", by: provider => ",
    ),
    Case(
        "judged-apart",
        "errors is judged provider by provider instead of over all at once, in every stage",
        "max: 5} => max: 5, by: provider}",
    ),
    Case(
        "statistic-changed",
        "response_time_ms is judged by its p50 instead of its mean, in every stage",
        "max: 1000, => max: 1000, statistic: p50,",
        "max: 1000, => max: 1000, statistic: mean,",
    ),
    Case(
        "warning-loosened",
        "warning loosened: errors warn_max 3 -> 4, in every stage",
        "warn_max: 3 => warn_max: 4",
        "warn_max: 3 => warn_max: 2",
        "max: 5} => max: 5, warn_max: 3}",
    ),
    Case(
        "warning-tightened",
        "warning tightened: cache_hit_rate_pct warn_min no limit -> 75, in every stage",
        "min: 70, => min: 70, warn_min: 75,",
    ),
    Case(
        "metric-changed",
        "metric errors has another reading: errors -> error_rate",
        "reading: errors => reading: error_rate",
        "reading: errors => reading: 'errors'",
    ),
    Case(
        "metric-changed",
        "metric depth has another query: SELECT count(*) FROM sports -> SELECT 100",
        "count(*) FROM sports => 100",
        'query: "SELECT count(*) FROM sports" => query: "SELECT  count(*)\\n FROM sports "',
        SQL_METRIC,
    ),
    Case(
        "metric-added",
        "metric more is new: probe",
        "cache_hit_rate_pct: {kind => more: {kind: probe, reading: error_rate}\n  cache_hit_rate_pct: {kind",
    ),
    Case(
        "metric-removed",
        "metric more is gone",
        "  more: {kind: probe, reading: error_rate}\n => ",
        BACK,
        "cache_hit_rate_pct: {kind => more: {kind: probe, reading: error_rate}\n  cache_hit_rate_pct: {kind",
    ),
    Case(
        "older-data-allowed",
        "metric depth has the max_age 2d instead of 1h",
        "max_age: 1h => max_age: 2d",
        "max_age: 1h => max_age: 60m",
        (*SQL_METRIC, 'FROM sports"} => FROM sports", max_age: 1h}'),
    ),
    Case(
        "older-data-refused",
        "metric depth has the max_age 1h instead of no limit",
        'FROM sports"} => FROM sports", max_age: 1h}',
        BACK,
        SQL_METRIC,
    ),
    Case(
        "lookups-changed",
        "the hit rate is measured by other look-ups: 37 of 50 -> 37 of 50 look-ups meet an entry that is declared",
        '"player:connor_mcdavid", times: 3 => "player:kevin_durant", times: 3',
        '- "factor:nhl_v1.5" => - {key: "factor:nhl_v1.5", times: 1}',
    ),
    Case(
        "lookups-hit-more",
        "the hit rate is measured by other look-ups: 37 of 50 -> 47 of 50 look-ups meet an entry that is declared: 94 %, and dark_mode wants at least 70",
        (
            '"correlation:NHL:goals", times: 3 => "player:lebron_james", times: 10',
            '  - {key: "correlation:NHL:assists", times: 2}\n => ',
            '  - {key: "correlation:NHL:saves", times: 2}\n => ',
            '  - {key: "player:connor_mcdavid", times: 3}\n => ',
        ),
        '"player:connor_mcdavid", times: 3 => "player:kevin_durant", times: 3',
    ),
    Case(
        "lookups-hit-more",
        "the hit rate is measured by other look-ups: 37 of 50 -> 10033 of 10046 look-ups meet an entry that is declared: 99.9 %, and shadow_mode wants at least 80",
        '"player:stephen_curry" => "player:stephen_curry"\n  - {key: "correlation:MLB:hits", times: 9996}',
        "ttl: 1h => ttl: 2h",
        "shadow_mode | interval: 30s => interval: 30s\n    thresholds: {cache_hit_rate_pct: {min: 80}}",
    ),
    Case(
        "lookups-hit-fewer",
        "37 of 50 -> 35 of 50 look-ups meet an entry that is declared: 70 %, and dark_mode wants at least 70",
        f"{PLAYERS} => ",
        '{key: "player:mookie_betts", confidence => {key: "player:mookie", confidence',
    ),
    Case(
        "lookups-hit-fewer",
        "37 of 50 -> 29 of 50 look-ups meet an entry that is declared: 58 %, and dark_mode wants at least 70: it will breach",
        (f"{PLAYER} => ", "[CACHE_CORRELATION, CACHE_FACTOR, CACHE_PLAYER] => [CACHE_CORRELATION, CACHE_FACTOR]"),
        "ttl: 1h => ttl: 2h",
    ),
    Case(
        "lookups-hit-fewer",
        "the hit rate is measured by other look-ups: 37 of 50 -> 37 of 60 look-ups meet an entry that is declared: 61.7 %",
        '"correlation:NHL:goals", times: 3 => "correlation:NHL:goals", times: 13',
        '"player:connor_mcdavid", times: 3 => "player:kevin_durant", times: 3',
        "cache_hit_rate_pct: {min: 70, => cache_hit_rate_pct: {warn_min: 70,",
    ),
    Case(
        "entries-hit-more",
        "37 of 50 -> 39 of 50 look-ups meet an entry that is declared: 78 %, and dark_mode wants at least 70",
        f"{PLAYERS} => {PLAYERS}{PLAYERS.replace('luka_doncic', 'shohei_ohtani')}",
        '"player:shohei_ohtani", times: 2 => "player:luka_doncic", times: 2',
    ),
    # how stages follow each other
    Case(
        "stage-added",
        "stage more_active is new: active, 10m, measured every 30s",
        f"\n  - name: full_active => {STAGE.format('more_active', 'active', '{sports: [NBA]}')}\n  - name: full_active",
    ),
    Case(
        "stage-added-at-risk",
        "stage bigbang is new: active, 10m, measured every 30s; it lets through errors max 100000 (other stages 5), response_time_ms max 90000 (other stages 1000), cache_hit_rate_pct min 1 (other stages 70)",
        f"\n  - name: full_active => {LOOSE}\n  - name: full_active",
        f"\n  - name: full_active => {LOOSE}\n  - name: full_active".replace("100000", "5")
        .replace("90000", "1000")
        .replace("min: 1}", "min: 70}"),
    ),
    Case(
        "stage-added-at-risk",
        "stage bigbang is new: active, 10m, measured every 30s; it lets through more max no limit (other stages 9)",
        f"\nrollback: {{on => {STAGE.format('bigbang', 'active', 'all')}\nrollback: {{on",
        f"\nrollback: {{on => {STAGE.format('bigbang', 'active', 'all')}\n    thresholds: {{more: {{max: 9}}}}\nrollback: {{on",
        (
            "cache_hit_rate_pct: {kind => more: {kind: probe, reading: error_rate}\n  cache_hit_rate_pct: {kind",
            *(
                f"{name} | interval: 30s => interval: 30s\n    thresholds: {{more: {{max: {limit}}}}}"
                for name, limit in (("dark_mode", 4), ("shadow_mode", 9), ("partial_active", 4), ("full_active", 4))
            ),
        ),
    ),
    Case(
        "stage-added-at-risk",
        "stage bigbang is new: active, 10m, measured every 30s; it does not ask 24 rows of those that it switches on",
        f"\n  - name: full_active => {STAGE.format('bigbang', 'active', 'all')}\n    probe: {{providers: [stub]}}\n  - name: full_active",
        f"\n  - name: full_active => {STAGE.format('bigbang', 'active', '{providers: [stub]}')}\n  - name: full_active",
    ),
    Case("stage-removed", "stage partial_active is gone: it was active, 20m, measured every 30s", f"{PARTIAL} => "),
    Case(
        "stage-renamed",
        "stage dark_mode is called dim_mode now",
        "name: dark_mode => name: dim_mode",
        "name: dark_mode => name: 'dark_mode'",
    ),
    Case(
        "stages-reordered",
        "the stages come in another order: dark_mode, shadow_mode, partial_active, full_active -> dark_mode, partial_active, shadow_mode, full_active",
        f"{SHADOW}{TRIED} => {TRIED}{SHADOW}",
        f"{SHADOW}{TRIED} => {SHADOW}",
        f"{PARTIAL} => {TRIED}",
    ),
    Case("mode-raised", "stage shadow_mode goes from shadow to active", "mode: shadow => mode: active"),
    Case(
        "mode-lowered",
        "stage partial_active goes from active to shadow",
        "important providers go live\n    mode: active => important providers go live\n    mode: shadow",
    ),
    Case(
        "shadow-lost",
        "no stage tries the writes any more before they are made for good",
        f"{SHADOW} => ",
        f"{SHADOW} => {SHADOW.replace('15m', '20m')}",
    ),
    Case(
        "shadow-gained",
        "a stage tries the writes now before they are made for good",
        f"{PARTIAL} => {SHADOW}{PARTIAL}",
        BACK,
        f"{SHADOW} => ",
    ),
    Case(
        "observation-lost",
        "the first stage does not only measure any more: nothing is seen before the first writes",
        f"{DARK} => ",
        f"{DARK} => {DARK}{DARK.replace('dark', 'dim')}",
    ),
    Case(
        "observation-gained",
        "the first stage only measures now, before the first writes",
        f"{SHADOW} => {DARK}{SHADOW}",
        BACK,
        f"{DARK} => ",
    ),
    Case(
        "step-between-lost",
        "full_active switches on at once what 2 stages switched on in turn",
        f"{PARTIAL} => ",
        f"{PARTIAL} => {PARTIAL}{PARTIAL.replace('partial', 'another')}",
    ),
    Case(
        "step-between-lost",
        "partial_active switches on at once what 2 stages switched on in turn",
        (f"{FULL} => ", "activate: {priority: high} => activate: all"),
        f"{FULL} => ",
    ),
    Case(
        "never-switched-on",
        "20 rows are never switched on any more: betmgm, fanduel, prizepicks, sportsradar, theodds",
        f"{FULL} => ",
        "activate: {priority: high} => activate: {providers: [draftkings]}",
    ),
    Case(
        "never-switched-on",
        "4 rows are never switched on any more: betmgm",
        "activate: all => activate: {providers: [stub, draftkings, fanduel, prizepicks, theodds, sportsradar]}",
        f"{BETMGM}    endpoint: ${{BETMGM_URL:-}}\n    capabilities: {{live_odds: true, props: true, futures: true, requests_per_minute: 100}}\n => ",
    ),
    Case(
        "switched-on-at-last",
        "20 rows are switched on at the end that never were: betmgm, fanduel, prizepicks, sportsradar, theodds",
        "activate: {priority: high} => activate: all",
        BACK,
        f"{FULL} => ",
    ),
    Case(
        "step-between-gained",
        "2 stages switch on in turn what full_active switched on at once",
        f"\n  - name: full_active => \n{PARTIAL}\n  - name: full_active",
        BACK,
        f"{PARTIAL} => ",
    ),
    Case(
        "exposure-raised",
        "exposure: 20 -> 24 rows go live in one step, in partial_active",
        "activate: {priority: high} => activate: all",
        "activate: {priority: high} => activate: {enabled: true}",
    ),
    Case(
        "exposure-lowered",
        "exposure: 20 -> 12 rows go live in one step, in partial_active",
        "activate: {priority: high} => activate: {sports: [MLB, NBA]}",
    ),
    Case(
        "exposure-lowered",
        "exposure: 20 -> 16 rows go live in one step, in full_active",
        "activate: {priority: high} => activate: {enabled: true}",
        f"{FULL} => ",
    ),
    Case(
        "exposure-shifted",
        "exposure: 20 -> 4 rows go live in one step, in partial_active",
        f"{FULL} => ",
        "activate: {priority: high} => activate: {sports: [MLB, NBA]}",
    ),
    Case(
        "exposure-shifted",
        "exposure: 20 -> 16 rows go live in one step, in full_active",
        f"\n  - name: full_active => {LOOSE.replace('activate: all', 'activate: {enabled: true}')}\n  - name: full_active",
        f"\n  - name: full_active => {STAGE.format('bigbang', 'active', '{enabled: true}')}\n  - name: full_active",
    ),
    Case(
        "activates-more",
        "stage partial_active switches on 8 -> 12 rows: + fanduel",
        "activate: {priority: high} => activate: {enabled: true}",
        "activate: {priority: high} => activate: {providers: [draftkings, stub]}",
    ),
    Case(
        "activates-more",
        "stage partial_active switches on 8 -> 12 rows: + fanduel",
        "name: fanduel\n    enabled: true => name: fanduel\n    enabled: true\n    priority: high",
        "name: fanduel\n    enabled: true => name: fanduel\n    enabled: true\n    priority: normal",
    ),
    Case(
        "activates-fewer",
        "stage partial_active switches on 8 -> 2 rows: - draftkings (MLB, NBA, NHL), - stub (MLB, NBA, NHL)",
        "activate: {priority: high} => activate: {priority: high, sports: [NFL]}",
    ),
    Case(
        "activates-others",
        "stage partial_active switches on 8 -> 8 rows: + fanduel, - draftkings",
        "activate: {priority: high} => activate: {providers: [stub, fanduel]}",
        "activate: {priority: high} => activate: {providers: [stub, fanduel, draftkings]}",
    ),
    Case(
        "measures-fewer",
        "stage dark_mode asks 12 -> 4 rows: - draftkings, - fanduel",
        "dark_mode | interval: 30s => interval: 30s\n    probe: {providers: [stub]}",
        "dark_mode | interval: 30s => interval: 30s\n    probe: {enabled: true}",
    ),
    Case(
        "measures-fewer",
        "stage partial_active asks 8 -> 4 rows: - stub; 4 rows are live in it unmeasured",
        "activate: {priority: high} => activate: {providers: [draftkings]}",
        "activate: {priority: high} => activate: {providers: [stub]}",
    ),
    Case(
        "measures-fewer",
        "stage full_active asks 28 -> 4 rows: - betmgm, - draftkings, - fanduel, - prizepicks, - sportsradar, - theodds; 24 rows are live in it unmeasured",
        "activate: all => activate: all\n    probe: {providers: [stub]}",
        "activate: all => activate: all\n    probe: all",
    ),
    Case(
        "live-unasked",
        "stage partial_active does not ask 4 rows that are live in it: draftkings",
        "activate: {priority: high} => activate: {priority: high}\n    probe: {providers: [stub, fanduel]}",
        "activate: {priority: high} => activate: {priority: high}\n    probe: {providers: [stub]}",
    ),
    Case(
        "measures-more",
        "stage dark_mode asks 12 -> 28 rows: + betmgm, + prizepicks, + sportsradar, + theodds",
        "dark_mode | interval: 30s => interval: 30s\n    probe: all",
    ),
    Case(
        "measures-others",
        "stage dark_mode asks 12 -> 16 rows: + betmgm, + prizepicks, + sportsradar, + theodds, - draftkings, - fanduel, - stub",
        "dark_mode | interval: 30s => interval: 30s\n    probe: {enabled: false}",
        "dark_mode | interval: 30s => interval: 30s\n    probe: all",
    ),
    Case(
        "chosen-otherwise",
        "stage shadow_mode switches on providers [draftkings, fanduel, stub] instead of enabled true: the same 12 rows as of now",
        "activate: {enabled: true} => activate: {providers: [stub, fanduel, draftkings]}",
        "activate: {enabled: true} => activate: {enabled: True}",
    ),
    Case(
        "live-from-seed",
        "4 rows are live from the seed on, before anything of them is measured: betmgm",
        "name: betmgm\n    enabled: false => name: betmgm\n    enabled: true",
        "name: theodds\n    enabled: false => name: theodds\n    enabled: true",
        "betmgm | retries: 3 => retries: 3\n    status: ACTIVE",
    ),
    Case(
        "live-from-seed",
        "4 rows are live from the seed on, before anything of them is measured: stubs",
        "name: stub => name: stubs",
        "name: fanduel => name: fanduels",
    ),
    Case("not-live-from-seed", "4 rows are not live from the seed on any more: stub", "    status: ACTIVE\n => "),
    Case(
        "live-unasked",
        "stage partial_active does not ask 4 rows that are live in it: fanduel",
        "mode: shadow => mode: active",
        "duration: 15m => duration: 10m",
    ),
    Case(
        "live-unasked",
        "stage partial_active does not ask 4 rows that are live in it: fanduel",
        "activate: {priority: high} => activate: {enabled: true}",
        "activate: {priority: high} => activate: {providers: [stub, draftkings]}",
        "activate: {priority: high} => activate: {priority: high}\n    probe: {priority: high}",
    ),
    Case(
        "live-asked",
        "stage partial_active leaves out no longer 4 rows that are live in it: fanduel",
        "status: ACTIVE # at once => status: INACTIVE",
        BACK,
        "fanduel | retries: 3 => retries: 3\n    status: ACTIVE # at once",
    ),
    Case(
        "refresh-changed",
        "stage full_active renews the cache entries of factor, player that expire within 2h instead of the cache entries of factor, player",
        "{types: [factor, player]} => {types: [player, factor], expiring_within: 2h}",
        "{types: [factor, player]} => {types: [player, factor]}",
        "refresh: all => refresh: {types: [factor, player]}",
    ),
    # how long is watched
    Case(
        "watched-much-shorter",
        "stage partial_active is watched 60 % shorter: 20m -> 8m",
        "duration: 20m => duration: 8m",
        "duration: 20m => duration: 11m",
    ),
    Case(
        "watched-shorter",
        "stage partial_active is watched 45 % shorter: 20m -> 11m",
        "duration: 20m => duration: 11m",
        "duration: 20m => duration: 10m",
    ),
    Case(
        "watched-longer",
        "stage partial_active is watched longer: 20m -> 1h",
        "duration: 20m => duration: 1h",
        "duration: 20m => duration: 1200s",
    ),
    Case(
        "measured-less-often",
        "stage shadow_mode is measured every 1m instead of every 30s: 30 -> 15 times",
        "shadow_mode | interval: 30s => interval: 1m",
        "shadow_mode | interval: 30s => interval: 30000ms",
    ),
    Case(
        "measured-much-less-often",
        "stage shadow_mode is measured every 5m instead of every 30s: 30 -> 3 times",
        "shadow_mode | interval: 30s => interval: 5m",
        "shadow_mode | interval: 30s => interval: 2m",
    ),
    Case(
        "measured-more-often",
        "stage shadow_mode is measured every 10s instead of every 30s: 30 -> 90 times",
        "shadow_mode | interval: 30s => interval: 10s",
    ),
    Case(
        "deadline-later",
        "stage shadow_mode waits for numbers until 1h instead of 30m",
        "shadow_mode | interval: 30s => interval: 30s\n    deadline: 1h",
        "shadow_mode | interval: 30s => interval: 30s\n    deadline: 30m",
    ),
    Case(
        "deadline-sooner",
        "stage shadow_mode waits for numbers until 20m instead of 30m",
        "shadow_mode | interval: 30s => interval: 30s\n    deadline: 20m",
    ),
    # providers
    Case(
        "provider-added",
        "provider caesars is new: 4 rows, enabled, priority normal",
        f"{FANDUEL} => {FANDUEL}{FANDUEL.replace('fanduel', 'caesars')}",
        f"{FANDUEL} => {FANDUEL.replace('60s', '61s')}",
    ),
    *(
        Case(
            "provider-added-at-risk",
            f"provider caesars is new: 4 rows, enabled, priority normal; {said}",
            f"{FANDUEL} => {FANDUEL}{NEWCOMER.replace(*was)}",
            f"{FANDUEL} => {FANDUEL}{NEWCOMER.replace(*now)}",
        )
        for said, was, now in (
            (
                "its rows begin as ACTIVE",
                ("retries: 3", "retries: 3\n    status: ACTIVE"),
                ("retries: 3", "retries: 3\n    status: MAINTENANCE"),
            ),
            (
                "it may redirect to any host",
                ("retries: 3", "retries: 3\n    follow_redirects: any"),
                ("retries: 3", "retries: 3\n    follow_redirects: same_host"),
            ),
            (
                "it is polled every 6s, and none was more often than every 30s",
                ("poll_interval: 60s", "poll_interval: 6s"),
                ("poll_interval: 60s", "poll_interval: 7s"),
            ),
            (
                "it is asked in plain text, which anybody on the way can read and change: http://odds.example:81/***",
                ("${CAESARS_URL:-}", "http://odds.example:81/v2"),
                ("${CAESARS_URL:-}", "https://odds.example:81/v2"),
            ),
            (
                "its rows begin as ACTIVE; it may redirect to any host",
                ("retries: 3", "retries: 3\n    status: ACTIVE\n    follow_redirects: any"),
                ("${CAESARS_URL:-}", "http://localhost:8080/v2"),
            ),
        )
    ),
    Case(
        "provider-removed",
        "provider fanduel is gone; its 4 rows stay as they are where they were written",
        f"{FANDUEL} => ",
        f"{FANDUEL} => {FANDUEL.replace('fanduel', 'caesars')}",
    ),
    Case(
        "provider-renamed",
        "provider fanduel is called fan_duel now",
        "name: fanduel => name: fan_duel",
        "name: fanduel => name: 'fanduel'",
    ),
    Case(
        "provider-enabled",
        "provider betmgm is enabled",
        "name: betmgm\n    enabled: false => name: betmgm\n    enabled: true",
    ),
    Case(
        "provider-disabled",
        "provider fanduel is not enabled any more",
        "name: fanduel\n    enabled: true => name: fanduel\n    enabled: false",
    ),
    Case(
        "starts-active",
        "provider fanduel begins as ACTIVE instead of INACTIVE",
        "fanduel | retries: 3 => retries: 3\n    status: ACTIVE",
        "fanduel | retries: 3 => retries: 3\n    status: INACTIVE",
    ),
    Case("starts-inactive", "provider stub begins as INACTIVE instead of ACTIVE", "    status: ACTIVE\n => "),
    Case(
        "status-changed",
        "provider fanduel begins as MAINTENANCE instead of INACTIVE",
        "fanduel | retries: 3 => retries: 3\n    status: MAINTENANCE",
        "fanduel | retries: 3 => retries: 3\n    status: ACTIVE",
    ),
    Case(
        "priority-changed",
        "provider fanduel has the priority low instead of normal",
        "fanduel | retries: 3 => retries: 3\n    priority: low",
        "fanduel | retries: 3 => retries: 3\n    priority: normal",
    ),
    Case(
        "serves-more",
        "every provider serves 4 -> 5 sports: + WNBA",
        "sports: [MLB, NBA, NFL, NHL] => sports: [MLB, NBA, NFL, NHL, WNBA]",
        "sports: [MLB, NBA, NFL, NHL] => sports: [NHL, NFL, NBA, MLB]",
    ),
    Case(
        "serves-fewer",
        "provider fanduel serves 4 -> 2 sports: - NFL, - NHL",
        "fanduel | retries: 3 => retries: 3\n    sports: [MLB, NBA]",
        "fanduel | retries: 3 => retries: 3\n    sports: [NHL, NFL, NBA, MLB]",
    ),
    Case(
        "serves-others",
        "every provider serves 4 -> 4 sports: + WNBA, - NHL",
        "sports: [MLB, NBA, NFL, NHL] => sports: [MLB, NBA, NFL, WNBA]",
        "sports: [MLB, NBA, NFL, NHL] => sports: [MLB, NBA, NFL, NHL, WNBA]",
    ),
    Case(
        "sports-changed",
        "sports that no provider serves are listed otherwise: + MLS, - WNBA",
        "sports: [MLB, NBA, NFL, NHL, WNBA] => sports: [MLB, NBA, NFL, NHL, MLS]",
        "sports: [MLB, NBA, NFL, NHL, WNBA] => sports: [WNBA, MLB, NBA, NFL, NHL]",
        (
            "sports: [MLB, NBA, NFL, NHL] => sports: [MLB, NBA, NFL, NHL, WNBA]",
            *(
                f"name: {name} => name: {name}\n    sports: [MLB, NBA, NFL, NHL]"
                for name in ("stub", "draftkings", "fanduel", "prizepicks", "betmgm", "theodds", "sportsradar")
            ),
        ),
    ),
    Case(
        "polled-much-more-often",
        "provider fanduel is polled every 12s instead of every 1m, 5 times as often",
        "fanduel | poll_interval: 60s => poll_interval: 12s",
        "fanduel | poll_interval: 60s => poll_interval: 13s",
    ),
    Case(
        "polled-more-often",
        "provider fanduel is polled every 13s instead of every 1m, 4.62 times as often",
        "fanduel | poll_interval: 60s => poll_interval: 13s",
        "fanduel | poll_interval: 60s => poll_interval: 1m",
    ),
    Case(
        "polled-less-often",
        "provider fanduel is polled every 1h instead of every 1m, 60 times as seldom",
        "fanduel | poll_interval: 60s => poll_interval: 1h",
    ),
    Case(
        "retries-raised",
        "provider fanduel is asked again 3 -> 4 times after a failure",
        "fanduel | retries: 3 => retries: 4",
    ),
    Case(
        "retries-lowered",
        "provider fanduel is asked again 3 -> 1 time after a failure",
        "fanduel | retries: 3 => retries: 1",
    ),
    Case(
        "timeout-raised",
        "provider fanduel is waited for 1m instead of 30s",
        "fanduel | timeout: 30s => timeout: 1m",
        "fanduel | timeout: 30s => timeout: 20s",
    ),
    Case(
        "timeout-raised",
        "every provider is waited for 10s at the most instead of 5s",
        "rollback: {on => probe: {timeout: 10s}\nrollback: {on",
        "rollback: {on => probe: {timeout: 5s}\nrollback: {on",
    ),
    Case(
        "timeout-raised",
        "metric depth is waited for 1m instead of 5s",
        'FROM sports"} => FROM sports", timeout: 1m}',
        'FROM sports"} => FROM sports", timeout: 5s}',
        SQL_METRIC,
    ),
    Case(
        "timeout-lowered",
        "criterion database_integrity is waited for 5s instead of 1m",
        "{kind: integrity} => {kind: integrity, timeout: 5s}",
        "{kind: integrity} => {kind: integrity, timeout: 1m}",
    ),
    Case(
        "endpoint-changed",
        "provider fanduel has another address: ${FANDUEL_URL:-} -> https://odds.example/***",
        "endpoint: ${FANDUEL_URL:-} => endpoint: https://odds.example/v2/s3cr3t",
        "endpoint: ${FANDUEL_URL:-} => endpoint: '${FANDUEL_URL:-}'",
    ),
    Case(
        "endpoint-changed",
        "provider fanduel has another address: https://odds.example/*** -> https://odds.example/*** (what is hidden of it is different)",
        "example/v2/s3cr3t => example/v3/s3cr3t",
        "Accept: json => Accept: xml",
        ("endpoint: ${FANDUEL_URL:-} => endpoint: https://odds.example/v2/s3cr3t", HEADERS),
    ),
    Case(
        "headers-changed",
        "provider fanduel gets other headers: + Accept, + Authorization",
        HEADERS,
        HEADERS.replace("headers: {Authorization: s3cr3t, Accept: json}", "priority: low"),
    ),
    Case(
        "headers-changed",
        "provider fanduel gets other headers: - Accept, Authorization with another value, + X-Key",
        "{Authorization: s3cr3t, Accept: json} => {Authorization: an0ther, X-Key: s3cr3t}",
        "{Authorization: s3cr3t, Accept: json} => {Accept: json, Authorization: s3cr3t}",
        HEADERS,
    ),
    Case(
        "secret-written-out",
        "provider fanduel has a credential written out in the header Authorization; make it a variable",
        HEADERS,
        HEADERS.replace("s3cr3t", "'Bearer ${FANDUEL_TOKEN:-}'"),
    ),
    Case(
        "secret-written-out",
        "provider fanduel has a credential written out in the header Authorization; make it a variable",
        HEADERS.replace("s3cr3t", "'Bearer ${FANDUEL_TOKEN:-s3cr3t}'"),
        HEADERS.replace("s3cr3t", "'${FANDUEL_TOKEN:-}'"),
    ),
    *(
        Case(
            "secret-written-out",
            "provider fanduel has a credential written out in its address; make it a variable",
            f"endpoint: ${{FANDUEL_URL:-}} => endpoint: {bad}",
            f"endpoint: ${{FANDUEL_URL:-}} => endpoint: {good}",
        )
        for bad, good in (
            ("https://us:s3cr3t@odds.example/v2", "https://odds.example:81/v2/us:me@here"),
            ("https://odds.example/v2?x=1&api_key=s3cr3t", "https://odds.example/v2?x=1&api_key=${KEY:-}"),
        )
    ),
    Case(
        "secret-written-out",
        "provider caesars has a credential written out in the header X-Key; make it a variable",
        f"{FANDUEL} => {FANDUEL}{NEWCOMER}    headers: {{X-Key: s3cr3t}}\n",
        f"{FANDUEL} => {FANDUEL}{NEWCOMER}",
    ),
    Case(
        "secret-taken-out",
        "provider fanduel has no credential written out in the header Authorization any more; history keeps it",
        "Authorization: s3cr3t => Authorization: '${FANDUEL_TOKEN:-}'",
        "Authorization: s3cr3t => Authorization: an0ther",
        HEADERS,
    ),
    Case(
        "redirects-anywhere",
        "provider fanduel may redirect to any host",
        "fanduel | retries: 3 => retries: 3\n    follow_redirects: any",
        "fanduel | retries: 3 => retries: 3\n    follow_redirects: same_host",
    ),
    Case(
        "redirects-confined",
        "provider fanduel may redirect to its own host only",
        "    follow_redirects: any\n => ",
        BACK,
        "fanduel | retries: 3 => retries: 3\n    follow_redirects: any",
    ),
    Case(
        "capabilities-changed",
        "provider theodds has other capabilities: live_odds true -> 1, props true -> none, requests_per_minute 30 -> 3000, x none -> null",
        "{live_odds: true, props: true, requests_per_minute: 30} => {live_odds: 1, requests_per_minute: 3000, x: null}",
        "{live_odds: true, props: true, requests_per_minute: 30} => {props: true, live_odds: true, requests_per_minute: 30}",
    ),
    # caches
    Case(
        "cache-entries-added",
        "25 -> 26 cache entries: cache entry player:lika_doncic added",
        f"{PLAYERS} => {PLAYERS}{PLAYERS.replace('luka', 'lika')}",
        f"{PLAYERS} => {PLAYERS.replace('luka', 'lika')}",
    ),
    Case(
        "cache-entries-removed",
        "25 -> 21 cache entries: 4 cache entries (factor:mlb_v1.8, factor:nfl_v3.0, factor:nhl_v1.5, player:luka_doncic) gone; what is warm already stays until it expires",
        (f"{PLAYERS} => ", f"{FACTORS} => {FACTORS.splitlines()[0]}\n"),
        (f"{CORRELATIONS} => {CORRELATIONS.splitlines()[0]}\n",),
    ),
    Case(
        "cache-mostly-removed",
        "25 -> 11 cache entries: 14 cache entries (correlation:MLB:runs, correlation:MLB:rbis, correlation:MLB:home_runs, correlation:MLB:strikeouts, correlation:NFL:passing_yards, correlation:NFL:rushing_yards, correlation:NFL:touchdowns, correlation:NFL:receptions, 6 more) gone; what is warm already stays until it expires",
        f"{CORRELATIONS} => {CORRELATIONS.splitlines()[0]}\n",
        f"{FACTORS} => {FACTORS.splitlines()[0]}\n",
    ),
    Case(
        "cache-keys-renamed",
        "cache entry player:aaron_judge has the key player:judge now",
        '{key: "player:aaron_judge", confidence => {key: "player:judge", confidence',
        '- {key: "player:aaron_judge", confidence => - {"key": "player:aaron_judge", confidence',
    ),
    Case(
        "cache-data-changed",
        'cache entry player:luka_doncic has other confidence: 0.75; {"player": "Luka Doncic", "props": 12, "team": "DAL"} -> 0.8; {"player": "Luka Doncic", "props": 12, "team": "DAL"}',
        "confidence: 0.75, data: {player: Luka => confidence: 0.8, data: {player: Luka",
        "confidence: 0.75, data: {player: Luka => confidence: 0.750, data: {player: Luka",
    ),
    Case(
        "cache-moved",
        "each of 6 cache entries (player:lebron_james, player:luka_doncic, player:aaron_judge, player:mookie_betts, player:josh_allen, player:patrick_mahomes) has the rationale_type CACHE_PLAYERS instead of CACHE_PLAYER",
        "rationale_type: CACHE_PLAYER => rationale_type: CACHE_PLAYERS",
        "rationale_type: CACHE_PLAYER => rationale_type: 'CACHE_PLAYER'",
    ),
    Case(
        "cache-moved",
        "each of 6 cache entries (player:lebron_james, player:luka_doncic, player:aaron_judge, player:mookie_betts, player:josh_allen, player:patrick_mahomes) has the type players instead of player",
        "  player:\n => \n  players:\n",
        f"{PLAYERS} => ",
    ),
    Case(
        "ttl-shortened",
        "every cache entry of player lives for 1m instead of 1h",
        "ttl: 1h => ttl: 60s",
        "ttl: 1h => ttl: 60m",
    ),
    Case(
        "ttl-lengthened",
        "every cache entry of player lives for 1d instead of 1h",
        "ttl: 1h => ttl: 1d",
        (f"{PLAYERS} => ",),
    ),
    # exit criteria
    Case(
        "criterion-added",
        "criterion sports_table is new (table sports)",
        f"{INTEGRITY} => {INTEGRITY}    sports_table: {{kind: table, table: sports}}\n",
    ),
    Case(
        "criterion-removed",
        "criterion database_integrity is gone (integrity)",
        f"{INTEGRITY} => ",
        f"{INTEGRITY} => {INTEGRITY.replace('database_', '')}",
    ),
    Case(
        "criterion-loosened",
        "criterion provider_rows expects >= 1 instead of >= 24",
        'expect: ">= 24" => expect: ">= 1"',
        'expect: ">= 24" => expect: ">=  24"'.replace("  ", " "),
    ),
    Case(
        "criterion-loosened",
        "criterion sports_covered wants 4 -> 1 value: - NBA, - NFL, - NHL",
        "column: sport, values: [MLB, NBA, NFL, NHL] => column: sport, values: [MLB]",
        "column: sport, values: [MLB, NBA, NFL, NHL] => column: sport, values: [NHL, NFL, NBA, MLB]",
    ),
    Case(
        "criterion-tightened",
        "criterion provider_rows expects == 28 instead of >= 24",
        'expect: ">= 24" => expect: "== 28"',
        'expect: ">= 24" => expect: "!= 24"',
    ),
    Case(
        "criterion-only-warns",
        "criterion database_integrity only warns instead of failing",
        "{kind: integrity} => {kind: integrity, severity: warn}",
        "{kind: integrity} => {kind: integrity, severity: fail}",
    ),
    Case(
        "criterion-fails",
        "criterion providers_active fails instead of only warning",
        "providers_active | severity: warn => severity: fail",
    ),
    Case(
        "criterion-replaced",
        "criterion rationales_table has another table: portfolio_rationales -> sports",
        "table: portfolio_rationales} => table: sports}",
        "{kind: integrity} => {kind: integrity, timeout: 5s}",
    ),
    Case(
        "criterion-replaced",
        "criterion provider_class has another class: runner.store.rows:ProviderState -> runner.store.rows:Row",
        'provider_class: {kind: import, class: "runner.store.rows:ProviderState"} => provider_class: {kind: import, class: "runner.store.rows:Row"}',
        "        provider_states: runner.store.rows:ProviderState\n        portfolio_rationales: runner.store.rows:PortfolioRationale\n =>         portfolio_rationales: runner.store.rows:PortfolioRationale\n        provider_states: runner.store.rows:ProviderState\n",
    ),
    Case(
        "criterion-rows-changed",
        "criterion no_error_streaks looks at other rows: consecutive_errors > 3 -> consecutive_errors > 300",
        "consecutive_errors > 3 => consecutive_errors > 300",
        "consecutive_errors > 3 => consecutive_errors  >  3",
    ),
    Case(
        "criterion-changed",
        "criterion api_answers asks another address: ${API_URL:-} -> https://api.example/***",
        'url: "${API_URL:-}" => url: https://api.example/health',
        "url: \"${API_URL:-}\" => url: '${API_URL:-}'",
    ),
    Case(
        "criterion-rows-changed",
        "criterion cache_entries looks at other rows: substr(rationale_type, 1, 6) = 'CACHE_' -> every row",
        "\n      where: substr(rationale_type, 1, 6) = 'CACHE_'\n      expect: => \n      expect:",
        'expect: ">= 20" => expect: ">= 21"',
    ),
    Case(
        "wanted-undeclared",
        "criterion cache_types wants CACHE_PLAYER, which nothing declares any more",
        f"{PLAYER} => ",
        (f"{PLAYER} => ", "[CACHE_CORRELATION, CACHE_FACTOR, CACHE_PLAYER] => [CACHE_CORRELATION, CACHE_FACTOR]"),
    ),
    Case(
        "wanted-undeclared",
        "criterion cache_types wants CACHE_PLAYER, which nothing declares any more",
        "rationale_type: CACHE_PLAYER => rationale_type: CACHE_PLAYERS",
        "values: [CACHE_CORRELATION, CACHE_FACTOR, CACHE_PLAYER] => values: [CACHE_CORRELATION, CACHE_OTHER]",
    ),
    Case(
        "wanted-undeclared",
        "criterion main_providers_enabled wants fanduel, which nothing declares any more",
        "name: fanduel => name: fan_duel",
        "name: theodds => name: the_odds",
    ),
    Case(
        "wanted-undeclared",
        "criterion sports_covered wants NHL, which nothing declares any more",
        "sports: [MLB, NBA, NFL, NHL] => sports: [MLB, NBA, NFL]",
        "fanduel | retries: 3 => retries: 3\n    sports: [MLB, NBA]",
    ),
    Case(
        "wanted-declared",
        "criterion sports_covered wants WNBA, which is declared now",
        "sports: [MLB, NBA, NFL, NHL] => sports: [MLB, NBA, NFL, NHL, WNBA]",
        "values: [MLB, NBA, NFL, NHL, WNBA] => values: [MLB, NBA, NFL, NHL]",
        "values: [MLB, NBA, NFL, NHL] => values: [MLB, NBA, NFL, NHL, WNBA]",
    ),
    Case(
        "criterion-renamed",
        "criterion database_schema.database_integrity is called database_schema.integrity now",
        "database_integrity: => integrity:",
        "{kind: integrity} => {kind: integrity, timeout: 5s}",
    ),
    # the way back
    Case(
        "breach-goes-back-less",
        "a breach goes back to the stage before instead of to the start",
        "on_breach: disabled => on_breach: previous",
        BACK,
        "on_breach: previous => on_breach: disabled",
    ),
    Case(
        "breach-goes-back-more",
        "a breach goes back to the start instead of to the stage before",
        "on_breach: previous => on_breach: disabled",
        "on_breach: previous => on_breach: 'previous'",
    ),
    Case(
        "rollback-watches-shorter",
        "a gradual rollback watches each stage for 10s instead of 5m",
        "on_breach: previous => on_breach: previous, observe: 10s",
        "on_breach: previous => on_breach: previous, observe: 300s",
    ),
    Case(
        "rollback-watches-longer",
        "a gradual rollback watches each stage for 10m instead of 5m",
        "on_breach: previous => on_breach: previous, observe: 10m",
    ),
    Case(
        "promise-changed",
        "the standard rollback is promised within 1h instead of 15m",
        "on_breach: previous => on_breach: previous, within: {standard: 1h}",
        "on_breach: previous => on_breach: previous, within: {standard: 15m}",
    ),
    Case(
        "snapshot-dropped",
        "no snapshot is taken before a run any more",
        "rollback: {on => snapshots: {before_run: false}\nrollback: {on",
        "rollback: {on => snapshots: {before_run: true}\nrollback: {on",
    ),
    Case(
        "snapshot-taken",
        "a snapshot is taken before a run",
        "before_run: false => before_run: true",
        BACK,
        "rollback: {on => snapshots: {before_run: false}\nrollback: {on",
    ),
    Case(
        "fewer-snapshots-kept",
        "10 -> 1 automatic snapshots are kept",
        "rollback: {on => snapshots: {keep: 1}\nrollback: {on",
        "rollback: {on => snapshots: {keep: 10}\nrollback: {on",
    ),
    Case(
        "more-snapshots-kept",
        "10 -> 50 automatic snapshots are kept",
        "rollback: {on => snapshots: {keep: 50}\nrollback: {on",
    ),
    Case(
        "snapshots-moved",
        "snapshots stand elsewhere: beside the database -> /mnt/copies",
        "rollback: {on => snapshots: {folder: /mnt/copies}\nrollback: {on",
        "rollback: {on => snapshots: {keep: 9}\nrollback: {on",
    ),
    Case(
        "details-kept-shorter",
        "the ledger keeps details for 1d instead of 90d",
        "rollback: {on => ledger: {keep_details: 1d}\nrollback: {on",
        "rollback: {on => ledger: {keep_details: 90d}\nrollback: {on",
    ),
    Case(
        "details-kept-longer",
        "the ledger keeps details for 99999d instead of 90d",
        "rollback: {on => ledger: {keep_details: 99999d}\nrollback: {on",
    ),
    # where it goes
    Case(
        "rollout-renamed",
        "the rollout is called schema-finalisation instead of schema-finalization",
        "name: schema-finalization => name: schema-finalisation",
        "name: schema-finalization => name: 'schema-finalization'",
    ),
    Case(
        "environment-added",
        "environment staging is new: ${STAGING_URL}, speed 1, stand-in allowed, rehearsal optional",
        f'{PRODUCTION} => {PRODUCTION}\n  staging: {{database: "${{STAGING_URL}}"}}',
        f"{PRODUCTION} => {PRODUCTION}  # ours",
    ),
    Case(
        "environment-shares-database",
        "environment hotfix is new, and goes to the same database as production: ${DATABASE_URL}, speed 1000, stand-in allowed, rehearsal optional",
        f'{PRODUCTION} => {PRODUCTION}\n  hotfix: {{database: "${{DATABASE_URL}}", speed: 1000}}',
        f'{PRODUCTION} => {PRODUCTION}\n  hotfix: {{database: "${{HOTFIX_URL}}", speed: 1000}}',
    ),
    Case(
        "environment-removed",
        "environment production is gone",
        f"{PRODUCTION} => ",
        f"{PRODUCTION} => {PRODUCTION.replace('production', 'prod')}",
    ),
    Case(
        "environment-renamed",
        "environment production is called prod now",
        f"{PRODUCTION} => {PRODUCTION.replace('production', 'prod')}",
        f"{PRODUCTION} => {PRODUCTION.replace('production', 'prod').replace('DATABASE', 'PROD')}",
    ),
    Case(
        "database-changed",
        "environment local goes to another database: sqlite:///rollout.db -> sqlite:////srv/odds.db",
        "sqlite:///rollout.db => sqlite:////srv/odds.db",
        'database: "sqlite:///rollout.db" => database: sqlite:///rollout.db',
    ),
    Case(
        "speed-raised",
        "environment local runs at speed 1000 instead of 120",
        "speed: 120 => speed: 1000",
        "speed: 120 => speed: 120.0",
    ),
    Case("speed-lowered", "environment local runs at speed 1 instead of 120", ", speed: 120 => "),
    Case(
        "rehearsal-dropped",
        "environment production wants no rehearsal any more",
        ", rehearsal: required => , rehearsal: optional",
    ),
    Case(
        "rehearsal-wanted",
        "environment local wants a rehearsal",
        "speed: 120 => speed: 120, rehearsal: required",
        "speed: 120 => speed: 120, rehearsal: optional",
    ),
    Case("stand-in-allowed", "environment production lets the stand-in answer for providers", "stand_in: refused, => "),
    Case(
        "stand-in-refused",
        "environment production refuses the stand-in",
        '_URL}",  rehearsal => _URL}", stand_in: refused, rehearsal',
        BACK,
        "stand_in: refused, => ",
    ),
    Case(
        "faults-changed",
        "the stand-in is told to misbehave otherwise: nothing -> stub:slow=2s",
        "rollback: {on => stand_in: {faults: [{provider: stub, kind: slow, delay: 2s}]}\nrollback: {on",
        "rollback: {on => stand_in: {faults: []}\nrollback: {on",
    ),
    Case(
        "probing-changed",
        "up to 1 instead of 100 requests are under way at once",
        "rollback: {on => probe: {concurrency: 1}\nrollback: {on",
        "rollback: {on => probe: {concurrency: 100, record_live_columns: false}\nrollback: {on",
    ),
    Case(
        "live-columns-dropped",
        "active stages do not record any more how the providers do",
        "rollback: {on => probe: {record_live_columns: false}\nrollback: {on",
        "rollback: {on => probe: {record_live_columns: true}\nrollback: {on",
    ),
    Case(
        "live-columns-kept",
        "active stages record how the providers do",
        "record_live_columns: false => record_live_columns: true",
        BACK,
        "rollback: {on => probe: {record_live_columns: false}\nrollback: {on",
    ),
    Case(
        "variable-changed",
        "thresholds.cache_hit_rate_pct.min is ${MIN:-70} instead of 70",
        "{min: 70, min_samples: 50} => \n    min: ${MIN:-70}\n    min_samples: 50",
        "min: 70, => min: 70.0,",
    ),
    Case(
        "variable-changed",
        "stand_in.faults.stub.kind is ${KIND:-fail} instead of fail",
        "{provider: stub, kind: fail} => {provider: stub, kind: '${KIND:-fail}'}",
        "{provider: stub, kind: fail} => {provider: '*', kind: fail}",
        "rollback: {on => stand_in: {faults: [{provider: stub, kind: fail}]}\nrollback: {on",
    ),
    # migrations
    Case(
        "migration-added",
        "migration 0004_later is new",
        LATER,
        "sql/sqlite/0003_portfolio_rationales.sql -> sql/sqlite/0003_rationales.sql",
    ),
    Case(
        "migration-removed",
        "migration 0004_later is gone: a database that it was applied to will refuse the rollout",
        "sql/sqlite/0004_later.sql <=",
        BACK,
        LATER,
    ),
    Case(
        "migration-edited",
        "migration 0004_later was edited: a database that it was applied to will refuse the rollout",
        LATER.replace("INTEGER", "TEXT"),
        LATER.replace("\n", "\r\n"),
        LATER,
    ),
    Case(
        "migration-renumbered",
        "migration 0004_later has the number 0005 now: a database that it was applied to will refuse the rollout",
        "sql/sqlite/0004_later.sql -> sql/sqlite/0005_later.sql",
        "sql/sqlite/0004_later.sql -> sql/sqlite/0004_latest.sql",
        LATER,
    ),
    Case(
        "migration-renamed",
        "migration 0004_later is called latest now",
        "sql/sqlite/0004_later.sql -> sql/sqlite/0004_latest.sql",
        "sql/sqlite/0004_later.sql -> sql/sqlite/0005_later.sql",
        LATER,
    ),
    Case(
        "migration-too-late",
        "migration 0004_later is new and comes before 0007, which may be applied already",
        LATER,
        SECOND.replace("0007", "0008").replace("last", "more"),
        SECOND,
    ),
    # the review itself
    Case(
        "risk-lowered",
        "gate-loosened is caution instead of dangerous: tried before",
        REVIEW,
        REVIEW.replace("risk: caution", "risk: dangerous"),
    ),
    Case(
        "risk-raised",
        "gate-added is caution instead of safe: tried before",
        REVIEW.replace("gate-loosened", "gate-added"),
        BACK,
    ),
    Case(
        "risk-reason-changed",
        "gate-loosened is caution for another reason: tried before -> tried often",
        "reason: tried before => reason: tried often",
        "risk: caution, => risk: blocked,",
        REVIEW,
    ),
)


def several(edits):
    return (edits,) if isinstance(edits, str) else tuple(edits)


def sides(case):
    """Return the files before the edit, after it, and both sides of its twin."""
    before = edited(BUNDLED, *several(case.base))
    after = edited(before, *several(case.edit))
    return before, after, (after, before) if case.twin == BACK else (before, edited(before, *several(case.twin)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_change_is_told_in_a_sentence_and_not_where_it_is_none(case):
    before, after, twin = sides(case)

    assert [case.what] == [what for code, what in told(before, after) if code == case.code]
    assert case.code not in [code for code, _ in told(*twin)]


def test_every_kind_of_change_is_told_here():
    assert {rule.code for rule in RULES} == {case.code for case in CASES}


def test_the_opposite_of_a_change_is_a_change():
    codes = {rule.code for rule in RULES}

    assert {rule.opposite for rule in RULES} - {None} <= codes
    assert len(codes) == len(RULES)


def criterion(expect):
    return f"{INTEGRITY} => {INTEGRITY}    answer:\n      kind: sql\n      query: SELECT 1\n      expect: {json.dumps(expect)}\n"


@pytest.mark.parametrize(
    ("was", "now", "code"),
    [
        (">= 24", ">= 1", "criterion-loosened"),
        (">= 24", "> 24", "criterion-tightened"),
        ("< 5", "<= 5", "criterion-loosened"),
        ("<= 5", "<= 4.5", "criterion-tightened"),
        (">= 24", "<= 24", "criterion-changed"),
        ("== 0", ">= 0", "criterion-loosened"),
        ("== 0", "!= 0", "criterion-changed"),
        ("!= 0", "== 1", "criterion-tightened"),
        ("== 1", "in 1, 2", "criterion-loosened"),
        ("in 1, 2, 3", "in 3, 1", "criterion-tightened"),
        ("in 1, 2", "in 2, 3", "criterion-changed"),
        ("in 1, 2", ">= 1", "criterion-loosened"),
        ("== 'a'", ">= 5", "criterion-changed"),
        (">= 5", "in 'a', 'b'", "criterion-changed"),
        ("in 'a', 'b'", "in 'b', 'a'", None),
        ("== 1", "in 1", None),
        ("== 1", "== 1.0", None),
    ],
)
def test_what_is_expected_is_loosened_or_tightened(was, now, code):
    found = [code for code, _ in told(*(edited(BUNDLED, criterion(expect)) for expect in (was, now)))]

    assert ([code] if code else []) == found

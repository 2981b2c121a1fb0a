"""A review and its forms: who may make less of a risk, and that no name is markup, and no secret shown."""

import html
import json
import re
from pathlib import Path

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from edits import BUNDLED, edited, loaded
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from runner.config.model import Reassessed
from runner.decide.review import Judge
from runner.decide.risk import Risk
from runner.engine.reviewing import exceeds, review
from runner.report.markdown import LARGEST_BYTES, code, escaped, fenced, markdown, marker
from runner.report.review import text
from runner.report.sarif import sarif

SAFE, CAUTION, DANGEROUS, BLOCKED = Risk
SCHEMA = Path(__file__).with_name("sarif-2.1.0-rtm.5.json")
"""As @microsoft/jest-sarif 1.0.0-beta.0 ships it, under the MIT licence."""
NAMES = "main:config/rollout.yaml", "config/rollout.yaml"
NOTHING = "\N{ZERO WIDTH SPACE}"


def reviewed(*edits, base=(), names=NAMES, environment=None, environ=()):
    before = edited(BUNDLED, *base)
    sides = (loaded(files, environment, environ) for files in (before, edited(before, *edits)))
    return review(*sides, names)


# who judges


def judged(code, old, new, rule=None):
    """What is made of *code* where the old and the new config say this of it; None where one says nothing."""
    rollout = loaded(BUNDLED).rollout
    sides = (
        rollout._replace(reassessed=(Reassessed(code, risk, f"{side} says so"),) if risk else ())
        for side, risk in (("old", old), ("new", new))
    )
    return Judge(*sides)(code, rule)


@pytest.mark.parametrize(
    ("old", "new", "risk", "reason"),
    [
        (None, None, "dangerous", None),
        ("caution", None, "dangerous", None),  # a leniency that it takes away counts no more
        ("blocked", None, "blocked", "old says so"),
        ("caution", "caution", "caution", "old says so"),
        (None, "safe", "dangerous", None),  # what it brings along does not count yet
        ("dangerous", "safe", "dangerous", None),
        ("caution", "safe", "caution", "old says so"),
        (None, "blocked", "blocked", "new says so"),  # what makes it greater does
        ("safe", "caution", "caution", "new says so"),
        ("safe", "dangerous", "dangerous", None),  # as the rule has it
        ("blocked", "safe", "blocked", "old says so"),
    ],
)
def test_a_change_is_not_judged_by_a_leniency_that_it_brings_along(old, new, risk, reason):
    found = judged("gate-loosened", old, new)

    assert (risk, "dangerous", reason) == (found.risk, found.rule, found.reason)


def test_what_is_found_in_migrations_is_judged_the_same_way():
    assert CAUTION is judged("table-dropped", "caution", "caution").risk
    assert DANGEROUS is judged("table-dropped", None, "safe").risk
    assert BLOCKED is judged("squawk:ban-drop-table", None, "blocked", CAUTION).risk


LENIENT = "rollback: {on => review: {risks: {gate-loosened: {risk: safe, reason: we know}}}\nrollback: {on"


def test_a_review_shows_why_a_risk_is_judged_otherwise():
    found = reviewed("min: 70 => min: 60", base=(LENIENT,))
    [change] = found["changes"]

    assert ("safe", "dangerous", "we know") == (change["risk"], change["by_rule"], change["reason"])
    assert "(dangerous by rule; here safe: we know)" in text(found)
    assert "dangerous by rule; here safe: we know" in markdown(found)
    assert not exceeds(found, "caution")


def test_a_leniency_in_the_same_change_is_told_and_does_not_count():
    found = reviewed("min: 70 => min: 60", LENIENT)

    assert {("gate-loosened", "dangerous"), ("risk-lowered", "dangerous")} == {
        (each["code"], each["risk"]) for each in found["changes"]
    }


def test_the_most_dangerous_comes_first_and_is_the_verdict():
    found = reviewed("min: 70 => min: 60", "max: 1000 => max: 900", "duration: 20m => duration: 11m")

    assert ["dangerous", "caution", "safe"] == [each["risk"] for each in found["changes"]]
    assert ("dangerous", {"blocked": 0, "dangerous": 1, "caution": 1, "safe": 1}) == (found["verdict"], found["counts"])
    assert [True, True, False] == [exceeds(found, limit) for limit in ("caution", "dangerous", "blocked")]
    assert not exceeds(reviewed(), "caution")
    assert "unchanged" == reviewed()["verdict"]


def test_a_change_stands_where_its_line_is():
    found = reviewed("min: 70 => min: 60", "fanduel | poll_interval: 60s => poll_interval: 6s")

    assert {("config/rollout.yaml", 20, 24), ("config/providers.yaml", 25, 5)} == {
        (each["file"], each["line"], each["column"]) for each in found["changes"]
    }


# Markdown

HOSTILE = [
    "a|b", "`code`", "``two`` `", "</details>", "<details>", "@team", "x @org/team y", "#1", "org/repo#1", "GH-1",
    "<!--", "-->", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "https://evil.example/x",
    "http://evil.example", "www.evil.example", "mail@evil.example", "mailto:x@evil.example", "xmpp:x@evil.example",
    "[text](https://evil.example)", "![image](https://evil.example/x.png)", "[ref]: https://evil.example", "[^1]",
    "# head", "- item", "1. item", "> quote", "---", "***", "___", "==", "    code", "~~gone~~", "**bold**", "_it_",
    "__bold__", "a\\|b", "\\", "&lt;b&gt;", "&#64;team", "$math$", "$$x$$", ":shipit:", "- [x] done", "|---|", "\t",
    "\u202eevil", "\u200b", "a" * 64, "<a href=x>", "<?php", "<![CDATA[", "ftp://evil.example",
    "HTTPS://evil.example", "a@b.c", "@@@@", "``` \n x", "~~~", "{{x}}", "${x}", "*", "_", "%00", "\\`", "`\\",
]  # fmt: skip
VISIBLE = st.text(st.sampled_from("`*_<>[]()|\\~&#@!-+.:/$'\" \n\ta1wGH"), max_size=60) | st.sampled_from(HOSTILE)


def html_of(page):
    """Render *page* as GitHub does, and leave in what its sanitizer would take out."""
    return cmarkgfm.github_flavored_markdown_to_html(page, Options.CMARK_OPT_UNSAFE)


def visible(page):
    """The text that a reader sees, without what parts words for a code host."""
    return " ".join(html.unescape(re.sub("<[^>]*>", "", page)).replace(NOTHING, "").split())


def tags(page):
    return re.findall("<[^>]*>", page)


@given(text=VISIBLE)
@example(text="www.a.b")
def test_text_is_shown_as_it_is(text):
    """In a sentence, where a heading or a list could begin only with the text itself, which never begins a line."""
    rendered = html_of(f"x {escaped(text)}")
    flat = " ".join(text.split())

    assert ["<p>", "</p>"] == tags(rendered)
    assert f"x {flat.replace(NOTHING, '')}".split() == visible(rendered).split()


@given(text=VISIBLE, other=VISIBLE)
def test_a_cell_of_a_table_holds_all_of_its_text(text, other):
    rendered = html_of(f"| | a |\n|---|---|\n| {escaped(text)} | {escaped(other)} |")
    cells = re.findall("<td>(.*?)</td>", rendered, re.DOTALL)

    assert [" ".join(each.replace(NOTHING, "").split()) for each in (text, other)] == [visible(cell) for cell in cells]
    assert not {"<a ", "<em>", "<strong>", "<code>", "<del>", "<img "} & set(re.findall("<[a-z]+[> ]", rendered))


@given(text=VISIBLE.filter(str.strip))
def test_a_span_of_code_holds_all_of_its_text(text):
    rendered = html_of(f"x {code(text)} y")

    assert ["<p>", "<code>", "</code>", "</p>"] == tags(rendered)
    assert f"x {' '.join(text.replace(NOTHING, '').split())} y".split() == visible(rendered).split()


@given(text=VISIBLE)
def test_a_block_of_code_holds_all_of_its_text(text):
    rendered = html_of("\n".join([*fenced(text), "", "after"]))

    assert ["<pre>", "<code>", "</code>", "</pre>", "<p>", "</p>"] == tags(rendered)


@pytest.mark.parametrize("name", ["x -->", "--->", "x\ny", "<!-- -->", "a--b>c"])
def test_the_marker_is_one_hidden_comment(name):
    assert [] == [
        each
        for each in tags(html_of(f"{marker({'new': name})}\n\nx"))
        if each not in {"<p>", "</p>"} and "<!--" not in each
    ]
    assert "x" == visible(re.sub("<!--.*?-->", "", html_of(f"{marker({'new': name})}\n\nx"), flags=re.DOTALL))


def hostile_review():
    """A review in which everything that may be text is hostile."""
    found = reviewed("min: 70 => min: 60", "max: 1000 => max: 900")
    for each in found["changes"]:
        each |= {
            "what": " ".join(HOSTILE),
            "names": [*HOSTILE],
            "before": [*HOSTILE],
            "after": [],
            "file": "a|`b</p>@x.yaml",
        }
        each |= {"reason": " ".join(HOSTILE), "by_rule": "safe"}
    return found | {"old": "x|`y:</p>", "new": "@team:#1", "rollout": "<b>x</b>", "environment": "`*`"}


def test_nothing_of_a_config_becomes_markup():
    page = html_of(markdown(hostile_review()))
    inside = re.sub("<!--.*?-->|<(code|pre)>.*?</\\1>", "", page, flags=re.DOTALL)

    ours = {
        "p",
        "h2",
        "h3",
        "strong",
        "code",
        "ul",
        "li",
        "br",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "pre",
    }
    assert set(re.findall(r"</?([a-z0-9]+)", page)) <= ours
    for sign in ("@team", "#1", "https://evil", "www.evil", "GH-1", ":shipit:"):
        assert sign not in html.unescape(inside)
        assert sign in visible(page)
    assert page.count("<details>") == page.count("</details>") == 2


def test_a_long_review_is_cut_with_a_note_and_stays_whole():
    found = reviewed("min: 70 => min: 60")
    one = found["changes"][0]
    many = [
        {**one, "what": f"{number} " + "x|y " * 40, "names": [f"name {i}" for i in range(300)], "risk": risk}
        for number in range(400)
        for risk in ("dangerous", "safe")
    ]
    page = markdown({**found, "changes": many})
    rendered = html_of(page)

    assert len(page) <= LARGEST_BYTES
    assert re.search(r"> Shortened to fit a comment: .*changes \(\d+ left out\).*`runner diff` shows all\.", page)
    assert rendered.count("<details>") == rendered.count("</details>")
    assert rendered.rstrip().endswith("</blockquote>")
    rows = re.findall("<tr>(.*?)</tr>", rendered, re.DOTALL)
    assert {4} == {len(re.findall("<t[dh]>", row)) for row in rows}


def test_a_single_change_that_is_too_long_is_told_of():
    found = reviewed("min: 70 => min: 60")
    found["changes"][0]["what"] = "x" * 100_000
    page = markdown(found)

    assert len(page) < LARGEST_BYTES
    assert "what is dangerous (1 left out)" in page


# secrets

SECRET = "s3cr3t-0dds"  # noqa: S105  planted, to be looked for
ENVIRON = (("DATABASE_URL", f"sqlite:////srv/{SECRET}.db"), ("FANDUEL_URL", f"https://{SECRET}.example/"))
PLANTED = (
    "endpoint: ${FANDUEL_URL:-} => endpoint: https://user:" + SECRET + "@odds.example/v2/" + SECRET + "?key=" + SECRET,
    "retries: 3\n    endpoint: ${DRAFTKINGS_URL => retries: 3\n    headers: {Authorization: "
    + SECRET
    + ", X-Key: '${KEY:-"
    + SECRET
    + "}'}\n    endpoint: ${DRAFTKINGS_URL",
    "endpoint: ${THEODDS_URL:-} => endpoint: ${THEODDS_URL:-https://" + SECRET + ".example/}",
    'url: "${API_URL:-}" => url: "https://api.example/?token=' + SECRET + '"',
    'database: "${DATABASE_URL}" => database: "postgres://odds:' + SECRET + "@db.example/odds?password=" + SECRET + '"',
)


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("again", [False, True])
def test_no_secret_is_in_any_form(way, again):
    """Neither where it comes, nor where it goes, nor where it is another."""
    before = edited(BUNDLED, *(each.replace(SECRET, f"{SECRET}-2") for each in PLANTED)) if again else BUNDLED
    files = [before, edited(BUNDLED, *PLANTED)][::way]
    found = review(*(loaded(each, None, ENVIRON) for each in files), NAMES)
    forms = [json.dumps(found), text(found), markdown(found), json.dumps(sarif(found, "1"))]

    assert {"endpoint-changed", "headers-changed", "criterion-changed", "database-changed"} - (
        {"database-changed"} if again else set()
    ) <= {each["code"] for each in found["changes"]}
    assert [False] * 4 == [SECRET in form for form in forms]


def test_a_value_from_the_environment_is_never_shown():
    environ = (("FANDUEL_URL", f"https://{SECRET}.example/"), ("OTHER_URL", f"https://{SECRET}.example/x"))
    found = reviewed("endpoint: ${FANDUEL_URL:-} => endpoint: ${OTHER_URL:-}", environ=environ)

    assert "provider fanduel has another address: ${FANDUEL_URL:-} -> ${OTHER_URL:-}" == found["changes"][0]["what"]
    assert SECRET not in json.dumps(found)


# SARIF


def test_a_review_is_valid_sarif():
    found = reviewed(
        "min: 70 => min: 60", "max: 1000 => max: 900", "sql/sqlite/0004_x.sql <= -- migrate:up\nDROP TABLE sports;\n"
    )
    log = sarif(found, "1.2.3")

    assert [] == [error.message for error in Draft4Validator(json.loads(SCHEMA.read_text())).iter_errors(log)]
    assert len(found["changes"]) + len(found["findings"]) == len(log["runs"][0]["results"]) > 3


def test_a_hostile_review_is_valid_sarif_too():
    log = sarif(hostile_review(), "1.2.3")

    assert [] == [error.message for error in Draft4Validator(json.loads(SCHEMA.read_text())).iter_errors(log)]


def test_an_empty_review_is_valid_sarif():
    assert [] == [*Draft4Validator(json.loads(SCHEMA.read_text())).iter_errors(sarif(reviewed(), "1"))]


def test_a_mark_is_the_same_wherever_its_line_moves():
    one, other = (
        sarif(reviewed("min: 70 => min: 60", base=base), "1")
        for base in ((), ("version: 1\nname => version: 1\n\n\nname",))
    )
    results = [log["runs"][0]["results"][0] for log in (one, other)]

    assert results[0]["partialFingerprints"] == results[1]["partialFingerprints"]
    assert [20, 22] == [each["locations"][0]["physicalLocation"]["region"]["startLine"] for each in results]


def test_a_place_is_in_the_repository_also_where_the_new_side_is_a_revision():
    before, after = BUNDLED, edited(BUNDLED, "min: 70 => min: 60")
    found = review(loaded(before), loaded(after), ("main:config/rollout.yaml", "feature/x:config/rollout.yaml"))
    found["changes"][0]["file"] = "feature/x:config/rollout.yaml"
    [result] = sarif(found, "1")["runs"][0]["results"]

    assert "config/rollout.yaml" == result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]

import pytest

from runner.config.secret import masked, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///rollout.db", "sqlite:///rollout.db"),
        ("sqlite:////srv/app.db?key=s3cret", "sqlite:////srv/app.db"),
        (
            "https://user:s3cret@odds.example:8443/a/{sport}?key=s3cret#s3cret",
            "https://user:***@odds.example:8443/a/{sport}",
        ),
        ("https://user@odds.example/", "https://user@odds.example/"),
        ("${DRAFTKINGS_URL:-}", "${DRAFTKINGS_URL:-}"),
        ("https://${USER}:${PASSWORD}@odds.example/", "***"),
        ("https://odds.example:port/s3cret", "***"),
        ("postgresql:///app?password=s3cret#s3cret", "postgresql:///app"),
        ("postgresql://app:s3cret@one:1,two:2/app", "***"),
        ("mysql:app:s3cret@host/app", "***"),
        ("s3cret", "***"),
        ("https://user:s3cret@[::1]:8443/a", "https://user:***@[::1]:8443/a"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(url, shown):
    assert shown == masked(url)


def test_what_is_stored_of_a_config_holds_no_literal_secret():
    declared = {
        "rollout": {"environments": {"p": {"database": "sqlite:///a.db?key=s3cret", "speed": 2}}},
        "providers": {
            "providers": [
                {"name": "a", "endpoint": "https://u:s3cret@h/?k=s3cret", "headers": {"X": "s3cret", "Y": "${TOKEN}"}},
                {"name": "b"},
            ]
        },
        "caches": {"types": {}},
    }
    stored = without_secrets(declared)

    assert "s3cret" not in str(stored)
    assert "https://h/***" == stored["providers"]["providers"][0]["endpoint"]
    assert {"X": "***", "Y": "${TOKEN}"} == stored["providers"]["providers"][0]["headers"]
    assert {"name": "b"} == stored["providers"]["providers"][1]
    assert "s3cret" in str(declared), "what was declared is left as it is"


def test_of_the_url_of_an_exit_criterion_no_more_than_the_host_is_stored():
    criteria = {"health": {"api": {"kind": "http", "url": "https://u:s3cret@h/?k=s3cret"}, "db": {"kind": "database"}}}
    declared = {
        "rollout": {"environments": {}, "exit_criteria": criteria},
        "providers": {"providers": []},
        "caches": {},
    }
    stored = without_secrets(declared)["rollout"]["exit_criteria"]

    assert {"api": {"kind": "http", "url": "https://h/***"}, "db": {"kind": "database"}} == stored["health"]
    assert "s3cret" in str(declared), "what was declared is left as it is"


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("", ""),
        ("${DRAFTKINGS_URL}", "${DRAFTKINGS_URL}"),
        ("${DRAFTKINGS_URL:-}", "${DRAFTKINGS_URL:-}"),
        ("${DRAFTKINGS_URL:-http://u:s3cret@h/}", "***"),
        ("${BASE}/odds?api_key=s3cret", "***"),
        ("https://odds.example/s3cret/{sport}", "https://odds.example/***"),
        ("https://s3cret@odds.example:8443/", "https://odds.example:8443/***"),
        ("https://s3cret@[::1]:8443/", "https://[::1]:8443/***"),
    ],
)
def test_of_an_endpoint_no_more_than_the_host_is_stored(endpoint, shown):
    declared = {
        "rollout": {"environments": {}},
        "providers": {"providers": [{"name": "a", "endpoint": endpoint}]},
        "caches": {},
    }

    assert shown == without_secrets(declared)["providers"]["providers"][0]["endpoint"]


@pytest.mark.parametrize("value", ["${SCHEME:-Bearer} s3cret", "Bearer ${TOKEN}", "${TOKEN:-s3cret}"])
def test_a_header_is_stored_only_where_it_is_a_variable(value):
    declared = {
        "rollout": {"environments": {}},
        "providers": {"providers": [{"name": "a", "headers": {"X": value}}]},
        "caches": {},
    }

    assert {"X": "***"} == without_secrets(declared)["providers"]["providers"][0]["headers"]

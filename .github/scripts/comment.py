"""
Post a file as the one comment of its kind on a pull request, or update the one that is there.

    python comment.py FILE

The first line of the file is hidden, and marks it: the comment that begins with it, and was written by a bot, is the
one. GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN and REVIEW_PULL say where. Prints `comment-url=…`, or why there is
no comment and exits with 1; the token is in no message and goes to no other host.
"""
# ruff: noqa: INP001, T201  a script of the action, not a part of the package: it prints

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PAGE = 100
"""The most comments that one answer holds."""
MOST_PAGES = 100
TRIES = 4
WAIT_S = float(os.environ.get("REVIEW_WAIT_S", "2"))
"""Before the second try; twice as long before each further one."""
TIMEOUT_S = 30
LARGEST = 100_000_000
"""Bytes of one answer: a page of the longest comments, with much room."""
FORBIDDEN = (401, 403, 404)
PASSING = (0, 429)
"""No answer, and too many requests: worth another try, as is a fault of the API's own."""
FAULT = 500


class NoAnswer(Exception):
    """The API did not do it; `status` is what it said, 0 where it said nothing."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would take the token along."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Thread:
    """The comments of one pull request."""

    def __init__(self, api: str, repository: str, pull: str, token: str) -> None:
        self._repository = f"{api}/repos/{repository}"
        self._comments = f"{self._repository}/issues/{int(pull)}/comments"
        self._token = token
        self._opener = urllib.request.build_opener(_Stay)

    def put(self, body: str) -> str:
        """Update the comment that begins as *body* does, or post one; return its address."""
        marker = body.partition("\n")[0]
        for number in self._own(marker):
            try:
                return self._address(self._ask("PATCH", f"{self._repository}/issues/comments/{number}", body))
            except NoAnswer as refused:
                if refused.status not in FORBIDDEN:
                    raise  # another bot's, say, or deleted meanwhile: the next one, or a new one
        return self._address(self._ask("POST", self._comments, body))

    def _own(self, marker: str) -> list[int]:
        """Return the ids of the comments that begin with *marker* and are a bot's, the newest first."""
        found: list[int] = []
        for page in range(1, MOST_PAGES + 1):
            comments = self._ask("GET", f"{self._comments}?per_page={PAGE}&page={page}")
            found += [int(each["id"]) for each in comments if _is_own(each, marker)]
            if len(comments) < PAGE:
                break
        return found[::-1]

    def _address(self, comment: Any) -> str:
        return "".join(str(comment["html_url"]).split())

    def _ask(self, method: str, url: str, body: str | None = None) -> Any:
        """Return what the API answers; try again where it has a bad moment. NoAnswer where it does not do it."""
        data = None if body is None else json.dumps({"body": body}).encode()
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "User-Agent": "rollout-review",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  the API's own address
        for number in range(TRIES):
            status = 0
            try:
                with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                    return json.loads(_read(answer))
            except urllib.error.HTTPError as error:
                status = error.code
                error.close()
            except (OSError, ValueError, RecursionError, http.client.HTTPException):
                pass
            if number == TRIES - 1 or not (status in PASSING or status >= FAULT):
                raise NoAnswer(status)
            time.sleep(WAIT_S * 2**number)
        raise AssertionError  # the loop ends by itself


def _is_own(comment: Any, marker: str) -> bool:
    """Say whether *comment* is a bot's and begins with *marker*; whoever wrote it may have no account any more."""
    is_bot = (comment["user"] or {}).get("type") == "Bot"
    return is_bot and (comment["body"] or "").partition("\n")[0].rstrip("\r") == marker


def why(status: int) -> str:
    """Say why there is no comment."""
    if status in FORBIDDEN:
        return f"no comment: the token may not write it ({status}), as that of a fork's pull request may not"
    return f"no comment: {f'the API answered {status}' if status else 'the API did not answer'}"


def _read(answer: http.client.HTTPResponse) -> bytes:
    """Return all of *answer*; ValueError where it is larger than a page of comments can be."""
    text = answer.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError("no answer of the API is so large")
    return text


def main(file: str) -> int:
    """Post or update; return the exit code."""
    names = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "REVIEW_PULL", "GITHUB_TOKEN")
    api, repository, pull, token = (os.environ.get(name, "") for name in names)
    try:
        address = Thread(api, repository, pull, token).put(Path(file).read_text(encoding="utf-8"))
    except NoAnswer as refused:
        print(why(refused.status))
        return 1
    except (LookupError, TypeError, ValueError, AttributeError):
        print("no comment: what the API answered could not be understood")
        return 1
    print(f"comment-url={address}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

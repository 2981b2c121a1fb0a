"""The hooks of this repository, installed by the real pre-commit into the repository of somebody else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PRE_COMMIT = Path(sys.executable).with_name("pre-commit")
ME = ("-c", "user.name=me", "-c", "user.email=me@example.org")
WANTED = """\
repos:
  - repo: {repo}
    rev: {rev}
    hooks:
      - id: runner-validate
      - id: runner-lint
"""
DANGEROUS = """\
-- migrate:up
DROP TABLE portfolio_rationales;
-- migrate:down
CREATE TABLE portfolio_rationales (id INTEGER PRIMARY KEY);
"""


class Repository:
    """A git repository in *folder*, and a pre-commit that keeps what it installs in *kept*."""

    def __init__(self, folder, kept):
        self.folder = folder
        self._environ = {**os.environ, "PRE_COMMIT_HOME": str(kept), "GIT_CONFIG_GLOBAL": os.devnull}
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments):
        return self._run("git", *ME, *arguments)

    def commit(self):
        """Add all that there is and commit it; return the exit code and what was said."""
        self.git("add", "--all")
        done = self.git("commit", "--quiet", "--message", "a change")
        return done.returncode, done.stdout + done.stderr

    def pre_commit(self, *arguments):
        done = self._run(PRE_COMMIT, *arguments)
        assert 0 == done.returncode, done.stdout + done.stderr

    def _run(self, *command):
        return subprocess.run(
            command, cwd=self.folder, env=self._environ, capture_output=True, text=True, timeout=600, check=False
        )


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """This working tree, committed as it is."""
    folder = tmp_path_factory.mktemp("published")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    repository = Repository(folder, folder / "none")
    assert 0 == repository.commit()[0]
    return folder, repository.git("rev-parse", "HEAD").stdout.strip()


def test_a_good_commit_passes_and_a_bad_one_is_refused_with_what_is_wrong(published, tmp_path):
    repo, rev = published
    (tmp_path / "theirs").mkdir()
    theirs = Repository(tmp_path / "theirs", tmp_path / "pre-commit")
    for name in ("config", "sql"):
        shutil.copytree(ROOT / name, theirs.folder / name)
    (theirs.folder / ".pre-commit-config.yaml").write_text(WANTED.format(repo=repo, rev=rev))
    theirs.pre_commit("install", "--install-hooks")

    code, said = theirs.commit()
    assert 0 == code, said
    assert said.count("Passed") == 2

    edited = theirs.folder / "config/providers.yaml"
    good = edited.read_text()
    edited.write_text(good.replace("retries: 1", "retires: 1", 1))
    code, said = theirs.commit()
    assert 1 == code
    assert "error: providers.stub has an unknown key: retires\n  at config/providers.yaml:12:5" in said

    edited.write_text(good)
    (theirs.folder / "sql/sqlite/0004_drop.sql").write_text(DANGEROUS)
    code, said = theirs.commit()
    assert 1 == code
    assert "sql/sqlite/0004_drop.sql:2" in said

"""`REV:path` with real repositories: all of a config is of one revision, and nothing else is touched."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from runner.config.load import declaration
from runner.config.revision import side
from runner.errors import InvalidConfig

ROOT = Path(__file__).parents[2]
CONFIG = "config/rollout.yaml"
WHO = {f"GIT_{who}_{what}": "dev@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Repository:
    """A repository with the bundled rollout, and whatever is done to it."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        for name in ("config", "sql"):
            shutil.copytree(ROOT / name, folder / name)
        self.commit("first")

    def git(self, *arguments):
        done = subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, message):
        self.git("add", "--all", "--force")
        self.git("commit", "-q", "-m", message)

    def edit(self, file, old, new):
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def write(self, file, text):
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def link(self, file, target):
        (self.folder / file).symlink_to(target)

    def everything(self, number):
        """Change all that the config names, so that it can be told where it was read."""
        text = (self.folder / CONFIG).read_text()
        (self.folder / CONFIG).write_text(re.sub("min: [0-9]+", f"min: 7{number}", text, count=1))
        self.edit("config/providers.yaml", "name: stub", f"name: stub{number}")
        self.edit("config/caches.yaml", "player:luka", f"player:luka{number}")
        self.edit("sql/sqlite/0002_provider_states.sql", "-- migrate:up", f"-- of {number}\n-- migrate:up")


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """No settings of the machine, and a folder for temporary files that has to be empty at the end."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name, value in {**WHO, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield
    assert [] == [*temporary.iterdir()]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    made = Repository(tmp_path / "repository")
    monkeypatch.chdir(made.folder)
    return made


def opened(name, environ=None):
    """Return the Declaration that *name* means."""
    environ = {**os.environ, **(environ or {})}
    with side(name, environ) as found:
        return declaration(found.path, None, environ, called=found.called)


def limit(name):
    """Return the one number by which the tests tell revisions apart."""
    thresholds = opened(name).rollout.stages[0].thresholds
    return next(each.min for each in thresholds if each.metric == "cache_hit_rate_pct")


def refused(name, environ=None):
    with pytest.raises(InvalidConfig) as caught:
        opened(name, environ)
    return str(caught.value)


def test_a_revision_has_the_names_that_git_gives_it(repository):
    repository.git("tag", "first")
    repository.git("tag", "-a", "-m", "signed", "annotated")
    repository.edit(CONFIG, "min: 70", "min: 60")
    repository.commit("second")
    repository.git("switch", "-q", "-c", "feature/other")
    repository.edit(CONFIG, "min: 60", "min: 50")
    repository.commit("third")
    second = repository.git("rev-parse", "main")

    assert [70, 70, 60, 60, 60, 60, 50, 50, 60, 50] == [
        limit(f"{revision}:{CONFIG}")
        for revision in ("first", "annotated", "main", second, second[:8], "HEAD~1", "HEAD", "feature/other", "@^", "@")
    ]
    assert 50 == limit(CONFIG)
    assert 60 == limit(f"feature/other~1:{CONFIG}")


def test_a_path_begins_at_the_top_or_where_one_stands_as_in_git(repository, monkeypatch):
    repository.edit(CONFIG, "min: 70", "min: 60")
    monkeypatch.chdir(repository.folder / "config")

    assert [70, 70, 70] == [limit(f"HEAD:{path}") for path in (CONFIG, "./rollout.yaml", "../config/rollout.yaml")]
    assert "there is no file rollout.yaml in the revision HEAD" in refused("HEAD:rollout.yaml")
    assert 60 == limit("rollout.yaml")


def test_all_of_a_config_is_of_the_same_revision(repository):
    repository.everything(1)
    repository.commit("second")
    repository.everything(2)
    repository.git("add", "--all")
    repository.everything(3)
    rollout = opened(f"HEAD:{CONFIG}").rollout

    assert 71 == limit(f"HEAD:{CONFIG}")
    assert "stub1" == rollout.providers[0].name
    assert any(entry.key == "player:luka1_doncic" for entry in rollout.caches)
    assert opened(f"HEAD:{CONFIG}").rollout.digest == rollout.digest
    assert 3 == len({opened(name).rollout.digest for name in (f"HEAD~1:{CONFIG}", f"HEAD:{CONFIG}", CONFIG)})
    old, now, here = (
        [each.checksum for each in opened(name).rollout.migrations]
        for name in (f"HEAD~1:{CONFIG}", f"HEAD:{CONFIG}", CONFIG)
    )
    assert [True, False, True] == [a == b for a, b in zip(old, now, strict=True)]
    assert [True, False, True] == [a == b for a, b in zip(here, now, strict=True)]


def test_work_tree_and_index_stay_as_they_are(repository):
    repository.everything(1)
    repository.git("add", "--all")
    repository.everything(2)
    repository.write("untracked", "x")

    def state():
        status = repository.git("status", "--porcelain=v2", "--untracked-files=all")
        index = (repository.folder / ".git/index").read_bytes()
        return status, index, sorted(str(path) for path in repository.folder.rglob("*"))

    before = state()
    opened(f"HEAD:{CONFIG}")
    assert before == state()


@pytest.mark.parametrize("revision", ["nothing", "HEAD~9", "-x", "--help", "main@{now", "0" * 40, " ", "$(touch x)"])
def test_an_unknown_revision_is_refused_with_what_to_do(repository, revision):
    assert f"in {repository.folder}\n  fix: look at `git branch --all` and `git tag`" in refused(f"{revision}:{CONFIG}")
    assert refused(f"{revision}:{CONFIG}").startswith("error: there is no revision ")
    assert not (repository.folder / "x").exists()


def test_a_path_without_a_revision_is_a_path(repository):
    assert "error: :config/rollout.yaml does not exist" in refused(f":{CONFIG}")


def test_a_revision_that_is_no_commit_is_refused(repository):
    tree = repository.git("rev-parse", "HEAD^{tree}")

    assert f"there is no revision {tree}" in refused(f"{tree}:{CONFIG}")


def test_a_shallow_clone_says_that_it_is_one(repository, tmp_path, monkeypatch):
    repository.edit(CONFIG, "min: 70", "min: 60")
    repository.commit("second")
    shallow = tmp_path / "shallow"
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{repository.folder}", str(shallow)], check=True, cwd=tmp_path
    )
    monkeypatch.chdir(shallow)

    assert 60 == limit(f"HEAD:{CONFIG}")
    assert refused(f"HEAD~1:{CONFIG}") == (
        f"error: there is no revision HEAD~1 in {shallow}, which is a shallow clone\n"
        "  fix: fetch what is missing: git fetch --unshallow; in a workflow, check out with `fetch-depth: 0`"
    )


def test_a_clone_without_contents_says_so(repository, tmp_path, monkeypatch):
    repository.git("config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial"
    source = f"file://{repository.folder}"
    subprocess.run(["git", "clone", "-q", "-n", "--filter=blob:none", source, str(partial)], check=True, cwd=tmp_path)
    monkeypatch.chdir(partial)

    assert 70 == limit(f"HEAD:{CONFIG}")
    shutil.rmtree(partial)
    subprocess.run(["git", "clone", "-q", "-n", "--filter=blob:none", source, str(partial)], check=True, cwd=tmp_path)
    monkeypatch.chdir(partial)
    shutil.rmtree(repository.folder)
    assert "git cannot read HEAD" in refused(f"HEAD:{CONFIG}") or "has no content" in refused(f"HEAD:{CONFIG}")


@pytest.mark.parametrize("path", ["../outside.yaml", "/etc/passwd", "config/../../x", "..", "."])
def test_a_path_out_of_the_repository_is_refused(repository, path):
    (repository.folder.parent / "outside.yaml").write_text("version: 1\n")

    assert "is no file inside of the repository" in refused(f"HEAD:{path}")


def test_a_file_that_the_revision_does_not_have_is_refused(repository):
    repository.write("config/new.yaml", "version: 1")

    assert refused("HEAD:config/new.yaml") == (
        "error: there is no file config/new.yaml in the revision HEAD\n"
        "  fix: look at `git ls-tree -r --name-only HEAD`; what is new there has nothing to differ from"
    )
    assert "there is no file config in" in refused("HEAD:config")


def test_what_the_config_names_has_to_be_in_the_revision_too(repository):
    repository.git("rm", "-q", "--cached", "config/providers.yaml")
    repository.git("commit", "-q", "-m", "without")

    assert refused(f"HEAD:{CONFIG}") == (
        "error: HEAD:config/providers.yaml does not exist\n"
        "  at HEAD:config/rollout.yaml:4:12\n"
        "  fix: correct the path, or create the file"
    )


def test_a_mistake_is_told_with_the_revision_and_its_line(repository):
    repository.edit(CONFIG, "min: 70", "min: 140")
    repository.commit("wrong")
    repository.edit(CONFIG, "min: 140", "min: 70")

    assert "at HEAD:config/rollout.yaml:20:29" in refused(f"HEAD:{CONFIG}")


def test_outside_of_a_repository_git_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)

    assert "error: git cannot read HEAD: not a git repository" in refused(f"HEAD:{CONFIG}")
    assert "fix: run this inside of the repository, or compare two paths" in refused(f"HEAD:{CONFIG}")


def test_without_git_two_paths_can_still_be_compared(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "temporary"))

    assert 70 == limit(CONFIG)
    assert refused(f"HEAD:{CONFIG}") == (
        "error: HEAD is a revision, and there is no git to read it with\n  fix: install git, or compare two paths"
    )


def test_a_file_of_that_very_name_goes_first(repository):
    repository.write("HEAD:rollout.yaml", (repository.folder / CONFIG).read_text().replace("min: 70", "min: 33"))
    for name in ("providers.yaml", "caches.yaml"):
        shutil.copy(repository.folder / "config" / name, repository.folder / name)
    repository.edit("HEAD:rollout.yaml", "../sql", "sql")

    assert 33 == limit("HEAD:rollout.yaml")


def test_links_inside_of_the_repository_are_followed(repository):
    shutil.move(repository.folder / "config/providers.yaml", repository.folder / "shared.yaml")
    repository.link("config/providers.yaml", "../shared.yaml")
    shutil.move(repository.folder / "sql", repository.folder / "database")
    repository.link("sql", "database")
    repository.link("also.yaml", CONFIG)
    (repository.folder / "a").mkdir()
    repository.link("a/b", "../config")
    repository.edit(CONFIG, "caches: caches.yaml", "caches: ../a/b/caches.yaml")
    repository.commit("links")
    for name in ("shared.yaml", "config/caches.yaml"):
        (repository.folder / name).unlink()
    shutil.rmtree(repository.folder / "database")

    rollout = opened(f"HEAD:{CONFIG}").rollout
    assert (7, 25, 3) == (len(rollout.providers), len(rollout.caches), len(rollout.migrations))


def test_a_config_that_is_a_link_is_read_where_it_leads(repository):
    repository.link("config/current.yaml", "rollout.yaml")
    repository.commit("link")

    assert 70 == limit("HEAD:config/current.yaml")


@pytest.mark.parametrize("target", ["../../outside.yaml", "/outside.yaml", "/etc/passwd"])
def test_a_link_out_of_the_repository_is_not_followed(repository, target):
    outside = repository.folder.parent / "outside.yaml"
    shutil.copy(repository.folder / "config/providers.yaml", outside)
    (repository.folder / "config/providers.yaml").unlink()
    repository.link("config/providers.yaml", target)
    repository.link("config/current.yaml", target)
    repository.commit("link")

    assert "the file of the providers is outside of the project HEAD:" in refused(f"HEAD:{CONFIG}")
    assert "there is no file config/current.yaml" in refused("HEAD:config/current.yaml")


def test_links_in_a_circle_end(repository):
    for one, other in (("a", "b"), ("b", "a")):
        repository.link(f"config/{one}.yaml", f"{other}.yaml")
    repository.edit(CONFIG, "providers: providers.yaml", "providers: a.yaml")
    repository.commit("circle")

    assert "error: " in refused(f"HEAD:{CONFIG}")
    assert "there is no file config/a.yaml" in refused("HEAD:config/a.yaml")


@pytest.mark.parametrize(
    "name", ["with blank", "line\nbreak", "übung", "co:lon", "*?[x]", "-dash", "q\"uo'te", "..two"]
)
def test_files_may_have_any_name(repository, name):
    shutil.move(repository.folder / "config", repository.folder / name)
    shutil.move(repository.folder / name / "providers.yaml", repository.folder / name / f"{name}.yaml")
    text = (repository.folder / name / "rollout.yaml").read_text()
    written = name.replace('"', '\\"').replace("\n", "\\n")
    text = text.replace("providers: providers.yaml", f'providers: "{written}.yaml"')
    (repository.folder / name / "rollout.yaml").write_text(text, encoding="utf-8")
    repository.commit("names")
    shutil.rmtree(repository.folder / name)

    assert 70 == limit(f"HEAD:{name}/rollout.yaml")


def test_a_name_that_is_no_utf_8_is_read_too(repository):
    folder = os.fsencode(repository.folder)
    os.rename(folder + b"/config", folder + b"/caf\xe9")  # noqa: PTH104  a Path is text
    repository.commit("bytes")

    assert 70 == limit(f"HEAD:{os.fsdecode(b'caf%c' % 0xE9)}/rollout.yaml")


def test_a_repository_whose_own_path_is_odd_is_read(tmp_path, monkeypatch):
    made = Repository(tmp_path / os.fsdecode(b"caf\xe9 :\n") / "x")
    monkeypatch.chdir(made.folder / "config")

    assert 70 == limit("HEAD:./rollout.yaml")


@pytest.mark.parametrize(
    ("migrations", "moved"), [("'{engine}'", "."), ("../m_{engine}", "m_sqlite"), ("../sql/{engine}/x", "sql/sqlite/x")]
)
def test_migrations_are_found_wherever_the_engine_stands_in_their_path(repository, migrations, moved):
    target = repository.folder / ("config/sqlite" if moved == "." else moved)
    files = [*(repository.folder / "sql/sqlite").iterdir()]
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.move(file, target / file.name)
    repository.edit(CONFIG, "../sql/{engine}", migrations)
    repository.commit("moved")

    assert 3 == len(opened(f"HEAD:{CONFIG}").rollout.migrations)


def test_a_config_at_the_top_is_read(repository):
    for path in [*(repository.folder / "config").iterdir()]:
        shutil.move(path, repository.folder / path.name)
    repository.edit("rollout.yaml", "../sql/{engine}", '"{engine}"')
    shutil.move(repository.folder / "sql/sqlite", repository.folder / "sqlite")
    repository.commit("flat")

    assert 3 == len(opened("HEAD:rollout.yaml").rollout.migrations)


def test_variables_in_paths_are_filled_in(repository):
    repository.edit(CONFIG, "providers: providers.yaml", "providers: ${WHOSE}/providers.yaml")
    repository.write("config/ours/providers.yaml", (repository.folder / "config/providers.yaml").read_text())
    repository.commit("variable")

    assert 7 == len(opened(f"HEAD:{CONFIG}", {"WHOSE": "ours"}).rollout.providers)
    assert "WHOSE" in refused(f"HEAD:{CONFIG}")


def test_contents_are_read_as_they_are_stored(repository):
    """No attribute has a say: not what is exported, not line ends, and no filter."""
    repository.write(".gitattributes", "*.yaml text eol=crlf\n*.sql export-ignore\nconfig/caches.yaml filter=secret\n")
    repository.git("config", "filter.secret.smudge", "touch smudged; cat")
    repository.git("config", "filter.secret.clean", "cat")
    before = opened(CONFIG).rollout
    repository.commit("attributes")

    found = opened(f"HEAD:{CONFIG}").rollout
    assert before.digest == found.digest
    assert [each.checksum for each in before.migrations] == [each.checksum for each in found.migrations]
    assert not (repository.folder / "smudged").exists()


def test_a_submodule_is_not_looked_into(repository, tmp_path):
    other = Repository(tmp_path / "other")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.folder), "sub")
    repository.edit(CONFIG, "providers: providers.yaml", "providers: ../sub/config/providers.yaml")
    repository.commit("submodule")

    assert "error: HEAD:sub/config/providers.yaml does not exist\n" in refused(f"HEAD:{CONFIG}")
    assert "there is no file sub/config/rollout.yaml in the revision HEAD" in refused(f"HEAD:sub/{CONFIG}")


def test_a_merge_that_is_not_finished_is_told(repository):
    repository.git("switch", "-q", "-c", "other")
    repository.edit(CONFIG, "min: 70", "min: 60")
    repository.commit("ours")
    repository.git("switch", "-q", "main")
    repository.edit(CONFIG, "min: 70", "min: 80")
    repository.commit("theirs")
    subprocess.run(["git", "merge", "-q", "other"], cwd=repository.folder, check=False, capture_output=True)

    assert "error: a merge conflict stands here\n  at config/rollout.yaml:20\n" in refused(CONFIG)
    assert 80 == limit(f"HEAD:{CONFIG}")
    repository.commit("with the markers")
    assert "at HEAD:config/rollout.yaml:20\n" in refused(f"HEAD:{CONFIG}")


def test_the_repository_that_git_is_told_of_is_read(repository, tmp_path, monkeypatch):
    """As in a hook: git itself sets these for what it starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_DIR", str(repository.folder / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repository.folder))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository.folder / ".git/index.lock"))

    assert 70 == limit(f"HEAD:{CONFIG}")


def test_a_work_tree_of_its_own_is_read(repository, tmp_path, monkeypatch):
    repository.git("worktree", "add", "-q", str(tmp_path / "beside"), "-b", "beside")
    monkeypatch.chdir(tmp_path / "beside")

    assert 70 == limit(f"main:{CONFIG}")


def test_nothing_is_left_after_a_mistake_either(repository):
    for name in ("nothing:x", "HEAD:nothing", "HEAD:../x"):
        assert "error: " in refused(name)
    with pytest.raises(ZeroDivisionError), side(f"HEAD:{CONFIG}", os.environ):
        raise ZeroDivisionError

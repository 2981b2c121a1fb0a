"""Paths in a config cannot lead out of its project, unless that is allowed by a flag."""

import shutil
from pathlib import Path

import pytest

from runner.config.fence import project_of
from runner.config.load import load
from runner.errors import InvalidConfig

ROOT = Path(__file__).parents[2]
FIX = "move it into the project; if it is meant to stand elsewhere, say --allow-outside"


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    for name in ("config", "sql"):
        shutil.copytree(ROOT / name, folder / name)
    monkeypatch.chdir(folder)
    return folder


def edit(project, old, new):
    path = project / "config/rollout.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refused():
    with pytest.raises(InvalidConfig) as caught:
        load(Path("config/rollout.yaml"), None, {})
    return caught.value.problems


@pytest.mark.parametrize(
    ("old", "new", "what", "place"),
    [
        ("providers: providers.yaml", "providers: ../../other/providers.yaml", "the file of the providers", (4, 12)),
        ("providers: providers.yaml", "providers: /etc/passwd", "the file of the providers", (4, 12)),
        ("caches: caches.yaml", "caches: ../../../../../../etc/hostname", "the file of the caches", (5, 9)),
        ("caches: caches.yaml", "caches: /dev/zero", "the file of the caches", (5, 9)),
        ("../sql/{engine}", "../../other/{engine}", "the migrations folder", (6, 13)),
        ("../sql/{engine}", "/", "the migrations folder", (6, 13)),
        ("../sql/{engine}", "../..", "the migrations folder", (6, 13)),
    ],
)
def test_a_path_that_leads_out_is_refused_where_it_stands_and_nothing_there_is_read(project, old, new, what, place):
    edit(project, old, new)

    [problem] = refused()

    assert f'{what} is outside of the project {project}: "{new.rpartition(": ")[2]}"' == problem.what
    assert ("config/rollout.yaml", *place) == problem.where
    assert FIX == problem.fix


def test_a_link_that_leads_out_is_followed_before_it_is_judged(project):
    outside = project.parent / "outside"
    shutil.copytree(project / "config", outside / "config")
    shutil.copytree(project / "sql", outside / "sql")
    for name in ("config/caches.yaml", "sql/sqlite"):
        shutil.rmtree(project / name) if (project / name).is_dir() else (project / name).unlink()
        (project / name).symlink_to(outside / name)

    assert ["the file of the caches", "the migrations folder"] == [p.what.partition(" is ")[0] for p in refused()]


def test_a_migration_that_is_a_link_out_of_the_project_is_refused_by_name(project):
    other = project.parent / "other.sql"
    other.write_text("-- migrate:up\nDROP TABLE users;\n")
    (project / "sql/sqlite/0004_more.sql").symlink_to(other)

    [problem] = refused()

    what = f"the migration sql/sqlite/0004_more.sql is a link that leads out of the project {project}"
    assert (what, ("config/rollout.yaml", 6, 13), FIX) == problem


def test_links_within_the_project_are_as_good_as_files(project):
    (project / "config/providers.yaml").rename(project / "shared.yaml")
    (project / "config/providers.yaml").symlink_to("../shared.yaml")
    (project / "sql/sqlite").rename(project / "migrations")
    (project / "sql/sqlite").symlink_to(project / "migrations")

    assert 3 == len(load(Path("config/rollout.yaml"), None, {}).migrations)


def test_what_is_outside_is_taken_where_that_is_allowed(project):
    (project / "config/providers.yaml").rename(project.parent / "providers.yaml")
    shutil.move(project / "sql", project.parent / "sql")
    edit(project, "providers: providers.yaml", "providers: ../../providers.yaml")
    edit(project, "../sql/{engine}", "../../sql/{engine}")

    assert 2 == len(refused())
    assert 7 == len(load(Path("config/rollout.yaml"), None, {}, allow_outside=True).providers)


def test_the_project_is_what_git_knows_else_the_folder_above_that_of_the_config(tmp_path):
    config = tmp_path / "a/b/config/rollout.yaml"
    config.parent.mkdir(parents=True)

    assert tmp_path / "a/b" == project_of(config)

    (tmp_path / "a/.git").write_text("gitdir: elsewhere")  # as in a worktree
    assert tmp_path / "a" == project_of(config)


def test_a_config_in_a_folder_that_is_a_link_belongs_to_the_project_behind_it(project):
    link = project.parent / "current"
    link.symlink_to(project)

    assert project == project_of(link / "config/rollout.yaml")
    assert 3 == len(load(link / "config/rollout.yaml", None, {}).migrations)


@pytest.mark.parametrize("path", ["a\0b", "\udcff", "x" * 5000, "loop"])
def test_what_cannot_be_a_path_is_told_as_such(project, path):
    (project / "config/loop").symlink_to("loop")
    edit(project, "caches: caches.yaml", f"caches: {path!r}".replace("'", '"').replace("\\x00", "\\0"))

    [problem] = refused()

    assert "outside" not in problem.what
    assert problem.fix

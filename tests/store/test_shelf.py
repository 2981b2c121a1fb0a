"""Snapshots as files: whole or not there, and refused where anything was done to them."""

import json
import re
import secrets
import stat
from datetime import timedelta

import pytest
from ground import NOON

from runner.errors import ExitCode, Mismatch, StepFailed
from runner.store.snapshot import Shelf, Snapshot


def snapshot(snapshot_id, **said):
    return Snapshot(
        **{
            "id": snapshot_id,
            "created_at": "2026-08-02T12:00:00.000Z",
            "reason": "before a run",
            "is_automatic": True,
            "rollout": "r",
            "environment": "local",
            "stage": "disabled",
            "engine": "sqlite",
            "database_id": "d1",
            "ledger_version": "2",
            "runner_version": "0.1.0",
            "tables": {"t": 3, "größe": 4},
            "size_bytes": 0,
            "sha256": "",
            **said,
        }
    )


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "rollout.db.runner" / "snapshots")


def put(shelf, content=b"rows " * 1000, after_s=0, **said):
    with shelf.writing(NOON + timedelta(seconds=after_s)) as (snapshot_id, path):
        path.write_bytes(content)
        return shelf.put(snapshot(snapshot_id, **said))


def names(shelf):
    return sorted(path.name for path in shelf.folder.iterdir() if path.name != ".writing")


def test_what_was_put_is_read_again_with_its_size_and_digest(shelf):
    written = put(shelf)

    assert re.fullmatch("20260802T120000Z-[0-9a-f]{4}", written.id)
    assert 5000 == written.size_bytes
    assert "sha256:" == written.sha256[:7]
    assert 7 == written.rows
    assert written == shelf.read(written.id)
    assert ([written], []) == shelf.all()
    shelf.check(written)


def test_files_are_their_owners_only(shelf):
    put(shelf)

    assert {0o700} == {stat.S_IMODE(path.stat().st_mode) for path in (shelf.folder, shelf.folder.parent)}
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in shelf.folder.iterdir()}


def test_where_nothing_was_taken_nothing_is_found_and_nothing_made(shelf):
    assert ([], []) == shelf.all()
    assert not shelf.has("20260802T120000Z-0000")
    assert not shelf.folder.parent.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "20260802T120000Z-0000/../x", "x.json"])
def test_an_id_is_never_a_path(shelf, name):
    (shelf.folder.parent).mkdir(parents=True)

    assert not shelf.has(name)


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, StepFailed])
def test_one_that_fails_leaves_nothing(shelf, failure):
    def fail():
        with shelf.writing(NOON) as (_, path):
            path.write_bytes(b"half")
            raise failure

    with pytest.raises(failure):
        fail()

    assert [] == names(shelf)


def test_what_a_kill_left_is_cleared_away_by_the_next_one(shelf):
    first = put(shelf)
    for left in ("20260101T000000Z-0001.db", "20260101T000000Z-0002.json.part", "20260101T000000Z-0002.db"):
        (shelf.folder / left).write_bytes(b"half")
    (shelf.folder / "mine.db").write_bytes(b"a person's own")

    second = put(shelf, after_s=1)

    wanted = [f"{each.id}.{kind}" for each in (first, second) for kind in ("db", "json")]
    assert sorted([*wanted, "mine.db"]) == names(shelf)


def test_what_another_is_just_writing_is_not_cleared_away(shelf):
    with shelf.writing(NOON) as (_, path):
        path.write_bytes(b"half")
        put(shelf, after_s=1)

        assert path.exists()


def change_file(change):
    def damage(shelf, written):
        path = shelf.copy_of(written)
        path.write_bytes(change(path.read_bytes()))

    return damage


def change_manifest(change):
    def damage(shelf, written):
        path = shelf.folder / f"{written.id}.json"
        path.write_text(change(path.read_text()))

    return damage


def rename(shelf, written):
    other = shelf.folder / "20260802T120000Z-ffff.json"
    other.write_text((shelf.folder / f"{written.id}.json").read_text())
    (shelf.folder / f"{written.id}.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (change_file(lambda content: content[:-1]), "it has 4,999 bytes instead of 5,000"),
        (change_file(lambda _: b""), "it has 0 bytes instead of 5,000"),
        (change_file(lambda content: content[:2500] + b"\xff" + content[2501:]), r"not as it was written \(SHA-256\)"),
        (lambda shelf, written: shelf.copy_of(written).unlink(), "its file cannot be read: No such file or directory"),
        (change_manifest(lambda text: text.replace('"t": 3', '"t": 4')), "its manifest is not as it was written"),
        (
            change_manifest(lambda text: text.replace("disabled", "full_active")),
            "its manifest is not as it was written",
        ),
        (change_manifest(lambda text: text.replace('"d1"', '"d2"')), "its manifest is not as it was written"),
        (change_manifest(lambda text: re.sub('"checksum": "[^"]*"', '"checksum": null', text)), "is not as it was"),
        (change_manifest(lambda text: re.sub(r',\s*"checksum": "[^"]*"', "", text)), "is not as it was written"),
        (change_manifest(lambda text: text[: len(text) // 2]), "the manifest of snapshot .* cannot be read"),
        (change_manifest(lambda _: ""), "the manifest of snapshot .* cannot be read"),
        (change_manifest(lambda _: "[]"), "the manifest of snapshot .* cannot be read"),
        (rename, "the manifest of snapshot .* cannot be read"),
        (
            change_manifest(lambda text: text.replace('"version": 1', '"version": 2').replace("0.1.0", "9.1")),
            r"has form 2, this runner knows form 1 \(it was written by runner 9.1\)",
        ),
    ],
)
def test_one_that_was_damaged_is_refused_and_says_how(shelf, damage, expected):
    written = put(shelf)
    damage(shelf, written)

    with pytest.raises(Mismatch, match=expected) as caught:
        shelf.check(shelf.read(written.id))

    assert ExitCode.MISMATCH == caught.value.exit_code
    assert all(problem.where and problem.fix for problem in caught.value.problems)


def test_a_manifest_of_another_is_not_taken_for_this_one(shelf):
    first, second = put(shelf), put(shelf, after_s=1)
    (shelf.folder / f"{first.id}.json").write_text((shelf.folder / f"{second.id}.json").read_text())

    with pytest.raises(Mismatch, match="is not as it was written"):
        shelf.read(first.id)


def test_the_list_is_newest_first_and_tells_of_those_that_cannot_be_used(shelf):
    old, new = (put(shelf, after_s=s, created_at=f"2026-08-02T12:00:0{s}.000Z") for s in (1, 2))
    broken = put(shelf)
    (shelf.folder / f"{broken.id}.json").write_text("{")

    found, problems = shelf.all()

    assert [new.id, old.id] == [each.id for each in found]
    assert [f"the manifest of snapshot {broken.id} cannot be read"] == [problem.what for problem in problems]


def test_pruning_keeps_the_newest_what_people_took_other_databases_and_the_one_in_use(shelf):
    def take(second, **said):
        return put(shelf, after_s=second, created_at=f"2026-08-02T12:00:0{second}.000Z", **said).id

    by_hand = take(0, is_automatic=False)
    in_use, old, other, newer, newest = take(1), take(2), take(3, database_id="d2"), take(4), take(5)

    removed = shelf.prune("d1", 2, spare={in_use})

    assert [old] == [each.id for each in removed]
    assert [newest, newer, other, in_use, by_hand] == [each.id for each in shelf.all()[0]]
    assert f"{old}.db" not in names(shelf)


def test_a_folder_that_cannot_be_written_to_is_a_problem_with_advice(tmp_path):
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(StepFailed, match="the snapshot could not be written: File exists") as caught:
        put(Shelf(tmp_path / "file" / "snapshots"))

    assert "snapshots: {folder: …}" in str(caught.value)


def test_a_manifest_is_plain_json_that_people_can_read(shelf):
    written = put(shelf)

    said = json.loads((shelf.folder / f"{written.id}.json").read_text())

    assert {"version", *Snapshot._fields, "checksum"} == set(said)
    assert {"t": 3, "größe": 4} == said["tables"]


def test_two_of_the_same_second_never_get_the_same_id(shelf, monkeypatch):
    drawn = iter(["3f9a", "3f9a", "3f9a", "0b1c"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(drawn))

    first, second = put(shelf, b"one"), put(shelf, b"two")

    assert ("20260802T120000Z-3f9a", "20260802T120000Z-0b1c") == (first.id, second.id)
    assert b"one" == shelf.copy_of(first).read_bytes()

"""
Every kind of thing that the lint tells of migrations, and how dangerous it is.

One table. What finds them stands beside it; what a reader sees of each is a sentence there, with the names.
docs/risk.md is written from here.
"""

from __future__ import annotations

from runner.decide.risk import Risk, Rule

SAFE, CAUTION, DANGEROUS, BLOCKED = Risk

GROUPS = {
    "What is gone afterwards": (
        Rule(
            "table-dropped", DANGEROUS, "Its rows are gone, and every version of the application that reads it fails."
        ),
        Rule("column-dropped", DANGEROUS, "Its values are gone, and every version that names the column fails."),
        Rule("schema-dropped", DANGEROUS, "Everything that lies in it goes with it."),
        Rule("drop-cascades", DANGEROUS, "What depends on it goes too, and the file does not say what that is."),
        Rule("truncated", DANGEROUS, "Every row is gone, and the down section cannot bring one back."),
        Rule("unbounded-delete", DANGEROUS, "Without a condition that leaves rows out, every row is deleted."),
        Rule("unbounded-update", DANGEROUS, "Without a condition that leaves rows out, every row is overwritten."),
        Rule("insert-or-replace", CAUTION, "The row that was there is deleted, with what refers to it by cascade."),
        Rule("index-dropped", CAUTION, "Queries that need it read the whole table from now on."),
        Rule("constraint-dropped", CAUTION, "Rows get in that were refused before, and stay when it comes back."),
        Rule("object-dropped", CAUTION, "What uses the view, function, trigger, type or sequence fails, or does less."),
        Rule("renamed", DANGEROUS, "The old name is gone at once, and the running version of the application uses it."),
    ),
    "What rows that stand may refuse": (
        Rule(
            "not-null-without-default",
            DANGEROUS,
            "Rows that stand have no value for it: it works on an empty table only.",
        ),
        Rule(
            "unique-on-existing",
            CAUTION,
            "It fails where rows that stand are equal, and then the whole migration does.",
        ),
        Rule("column-refused", BLOCKED, "SQLite cannot add such a column to a table that has rows."),
        Rule("statement-refused", BLOCKED, "SQLite has no such statement."),
        Rule("needs-no-transaction", BLOCKED, "The engine refuses the statement inside of a transaction."),
        Rule(
            "transaction-ended", BLOCKED, "At a conflict it takes back the whole transaction, and the ledger with it."
        ),
        Rule("ledger-touched", BLOCKED, "The runner's own tables, and the schema's, are not a migration's to change."),
        Rule("pragma-without-effect", CAUTION, "Inside of a transaction SQLite ignores this pragma and says nothing."),
    ),
    "SQLite: a table is made anew to change it": (
        Rule("table-rebuilt", CAUTION, "Every row is written again, and whoever writes to the database waits."),
        Rule(
            "rebuild-cascades",
            DANGEROUS,
            "A drop deletes the rows first, and those of other tables follow by cascade.",
        ),
        Rule("rebuild-loses", CAUTION, "Indexes and triggers go with the old table, and have to be made again."),
        Rule(
            "parent-dropped",
            DANGEROUS,
            "The drop fails while rows of other tables refer to it, in a rebuild too.",
        ),
    ),
    "PostgreSQL: what guards rows": (
        Rule("triggers-disabled", DANGEROUS, "What triggers guard, foreign keys among it, is not guarded meanwhile."),
        Rule(
            "row-security-changed",
            DANGEROUS,
            "Once it is on, rows without a policy are hidden; once it is off, everybody sees all.",
        ),
        Rule("granted-to-everybody", CAUTION, "Every role has the right from now on, those to come too."),
    ),
    "PostgreSQL: who waits, and for how long": (
        Rule(
            "table-rewritten",
            DANGEROUS,
            "Every row is written again, and until then nobody reads or writes the table.",
        ),
        Rule("index-locks-writes", DANGEROUS, "Whoever writes to the table waits until the index is made."),
        Rule("constraint-scans-table", DANGEROUS, "Every row is looked at while others wait for the table."),
        Rule("constraint-builds-index", DANGEROUS, "An index is made while nobody reads or writes the table."),
        Rule(
            "rows-changed-under-lock",
            DANGEROUS,
            "Everybody waits until the rows are changed and the migration is over.",
        ),
        Rule(
            "several-tables-locked",
            CAUTION,
            "Locks taken one after the other can meet others half way: a deadlock.",
        ),
        Rule("no-lock-timeout", CAUTION, "A statement that waits for its lock makes everybody behind it wait too."),
        Rule(
            "index-may-be-invalid",
            CAUTION,
            "A try that failed leaves an invalid index, which this then takes for done.",
        ),
        Rule("enum-value-added", CAUTION, "It cannot be taken back, and not be used before the commit."),
        Rule("table-locked", CAUTION, "Others wait for the table until the whole migration is over."),
        Rule("view-refreshed", DANGEROUS, "Nobody reads the view until its query has run."),
        Rule("lock-taken", SAFE, "Which lock it takes, and who waits for it."),
    ),
    "The file": (
        Rule("down-missing", CAUTION, "An emergency rollback has no way back from here but a snapshot."),
        Rule("down-incomplete", CAUTION, "What was made stays after a rollback, and is in the way of the next try."),
        Rule("verify-missing", CAUTION, "Nobody looks whether the migration did what it was meant to."),
        Rule("not-understood", CAUTION, "The lint cannot say anything about it: a person has to."),
        Rule(
            "ignore-without-reason", CAUTION, "Nobody can judge later why it was let through; it is told all the same."
        ),
        Rule("ignore-unknown", CAUTION, "No finding has this code, so the comment silences nothing."),
        Rule("ignore-unused", CAUTION, "It would silence the finding that comes one day."),
        Rule("let-through", CAUTION, "A comment silences a finding: who reviews it has to agree with its reason."),
    ),
}
"""What belongs together, under the heading that docs/risk.md has for it."""

LINTS = tuple(rule for group in GROUPS.values() for rule in group)
BY_CODE = {rule.code: rule for rule in LINTS}

SQUAWK = "squawk:"
"""What the codes begin with that squawk, another lint, has for PostgreSQL; they are CAUTION."""
_SCANS, _BUILDS = ("constraint-scans-table",), ("constraint-builds-index", "unique-on-existing")
_TWINS = {
    "adding-field-with-default": ("table-rewritten",),
    "adding-foreign-key-constraint": _SCANS,
    "adding-not-nullable-field": _SCANS,
    "adding-required-field": ("not-null-without-default",),
    "adding-serial-primary-key-field": _BUILDS,
    "ban-concurrent-index-creation-in-transaction": ("needs-no-transaction",),
    "ban-disable-trigger": ("triggers-disabled",),
    "ban-drop-column": ("column-dropped",),
    "ban-drop-constraint": ("constraint-dropped",),
    "ban-drop-database": ("schema-dropped",),
    "ban-drop-schema": ("schema-dropped",),
    "ban-drop-table": ("table-dropped",),
    "ban-truncate-cascade": ("drop-cascades",),
    "changing-column-type": ("table-rewritten",),
    "constraint-missing-not-valid": (*_SCANS, *_BUILDS),
    "disallowed-unique-constraint": _BUILDS,
    "renaming-column": ("renamed",),
    "renaming-table": ("renamed",),
    "require-concurrent-index-creation": ("index-locks-writes",),
    "require-concurrent-index-deletion": ("index-dropped",),
    "require-concurrent-reindex": ("index-locks-writes",),
    "require-lock-timeout": ("no-lock-timeout",),
}
TWINS = {f"{SQUAWK}{theirs}": ours for theirs, ours in _TWINS.items()}
"""What squawk says in other words where one of these codes is told of the same statement."""

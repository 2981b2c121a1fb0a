-- The runner's tables as version 0.1 made them.
CREATE TABLE runner_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE runner_migrations (
    version TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('begun', 'done')),
    objects_json TEXT NOT NULL,
    run_id TEXT NOT NULL,
    applied_at TEXT NOT NULL
);
CREATE TABLE runner_steps (
    number INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    step TEXT NOT NULL,
    summary_json TEXT NOT NULL,
    done_at TEXT NOT NULL
);
CREATE TABLE runner_configs (digest TEXT PRIMARY KEY, config_json TEXT NOT NULL);
CREATE TABLE runner_runs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    rollout TEXT NOT NULL,
    environment TEXT NOT NULL,
    config_digest TEXT NOT NULL,
    target_stage TEXT NOT NULL,
    back_to TEXT,
    state TEXT NOT NULL,
    message TEXT,
    stopped TEXT,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    final_stage TEXT
);
CREATE TABLE runner_stages (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runner_runs (id),
    rollout TEXT NOT NULL,
    stage TEXT NOT NULL,
    mode TEXT NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('entered', 'passed', 'undone', 'abandoned')),
    ticks INTEGER NOT NULL DEFAULT 0,
    digest TEXT NOT NULL,
    summary_json TEXT NOT NULL,
    breach TEXT,
    entered_at TEXT NOT NULL,
    left_at TEXT,
    undone_at TEXT,
    undone_by TEXT
);
CREATE INDEX runner_stages_run ON runner_stages (run_id);
CREATE TABLE runner_samples (
    number INTEGER PRIMARY KEY,
    stage_id INTEGER NOT NULL REFERENCES runner_stages (id),
    tick INTEGER NOT NULL,
    metric TEXT NOT NULL,
    subject TEXT NOT NULL,
    at TEXT NOT NULL,
    values_json TEXT NOT NULL,
    observations INTEGER NOT NULL,
    error TEXT
);
CREATE INDEX runner_samples_stage ON runner_samples (stage_id, tick);
CREATE TABLE runner_verdicts (
    stage_id INTEGER NOT NULL REFERENCES runner_stages (id),
    metric TEXT NOT NULL,
    subject TEXT NOT NULL,
    verdict TEXT NOT NULL,
    value DOUBLE PRECISION,
    observations INTEGER NOT NULL,
    fails INTEGER NOT NULL,
    consecutive_fails INTEGER NOT NULL,
    judged_at TEXT NOT NULL,
    PRIMARY KEY (stage_id, metric, subject)
);
CREATE TABLE runner_changes (
    stage_id INTEGER NOT NULL REFERENCES runner_stages (id),
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    claimed_json TEXT NOT NULL,
    before_json TEXT NOT NULL,
    after_json TEXT NOT NULL,
    PRIMARY KEY (stage_id, table_name, row_key)
);
CREATE TABLE runner_seeds (
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    before_json TEXT,
    first_json TEXT,
    run_id TEXT NOT NULL,
    seeded_at TEXT NOT NULL,
    PRIMARY KEY (table_name, row_key)
);
CREATE TABLE runner_props (
    stage_id INTEGER NOT NULL REFERENCES runner_stages (id),
    provider_name TEXT NOT NULL,
    sport TEXT NOT NULL,
    prop_id TEXT NOT NULL,
    PRIMARY KEY (provider_name, sport, prop_id)
);
INSERT INTO runner_meta VALUES ('ledger_version', '1');
INSERT INTO runner_migrations VALUES ('0001', 'core', 'sha256:1', 'done', '["table sports"]', 'run-1', '2026-08-02T12:00:00.000Z');
INSERT INTO runner_runs VALUES (1, 'run-1', 'r', 'local', 'sha256:1', 'full', NULL, 'completed', NULL, NULL, '2026-08-02T12:00:00.000Z', '2026-08-02T12:01:00.000Z', 'full');
INSERT INTO runner_seeds VALUES ('provider_states', '["stub","MLB"]', NULL, NULL, 'run-1', '2026-08-02T12:00:00.000Z');

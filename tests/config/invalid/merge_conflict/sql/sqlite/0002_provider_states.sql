-- The state of every odds provider, one row for each sport that it serves.
-- migrate:up
CREATE TABLE provider_states (
<<<<<<< HEAD
    id INTEGER PRIMARY KEY,
=======
    id BIGINT PRIMARY KEY,
>>>>>>> feature/other
    provider_name TEXT NOT NULL REFERENCES providers (name),
    sport TEXT NOT NULL REFERENCES sports (code),
    status TEXT NOT NULL DEFAULT 'INACTIVE' CHECK (status IN ('ACTIVE', 'INACTIVE', 'ERROR', 'MAINTENANCE')),
    is_enabled INTEGER NOT NULL DEFAULT 0 CHECK (is_enabled IN (0, 1)),
    poll_interval_seconds INTEGER NOT NULL CHECK (poll_interval_seconds > 0),
    timeout_seconds INTEGER NOT NULL CHECK (timeout_seconds > 0),
    max_retries INTEGER NOT NULL CHECK (max_retries >= 0),
    last_fetch_attempt TEXT,
    last_successful_fetch TEXT,
    last_error TEXT,
    consecutive_errors INTEGER NOT NULL DEFAULT 0 CHECK (consecutive_errors >= 0),
    total_requests INTEGER NOT NULL DEFAULT 0 CHECK (total_requests >= 0),
    successful_requests INTEGER NOT NULL DEFAULT 0 CHECK (successful_requests >= 0),
    failed_requests INTEGER NOT NULL DEFAULT 0 CHECK (failed_requests >= 0),
    average_response_time_ms REAL CHECK (average_response_time_ms >= 0),
    total_props_fetched INTEGER NOT NULL DEFAULT 0 CHECK (total_props_fetched >= 0),
    unique_props_seen INTEGER NOT NULL DEFAULT 0 CHECK (unique_props_seen >= 0),
    last_prop_count INTEGER NOT NULL DEFAULT 0 CHECK (last_prop_count >= 0),
    capabilities TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(capabilities)),
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (provider_name, sport)
);

CREATE INDEX ix_provider_states_provider_name ON provider_states (provider_name);
CREATE INDEX ix_provider_states_sport ON provider_states (sport);
CREATE INDEX ix_provider_states_sport_provider_name ON provider_states (sport, provider_name);
CREATE INDEX ix_provider_states_sport_status ON provider_states (sport, status);

-- migrate:down
DROP TABLE IF EXISTS provider_states;

-- migrate:verify
SELECT count(*) = 22 FROM pragma_table_info('provider_states');
SELECT count(*) = 4 FROM pragma_index_list('provider_states') WHERE name IN (
    'ix_provider_states_provider_name', 'ix_provider_states_sport',
    'ix_provider_states_sport_provider_name', 'ix_provider_states_sport_status'
);
SELECT group_concat(name) = 'provider_name,sport' FROM (
    SELECT columns.name
    FROM pragma_index_list('provider_states') AS indexes, pragma_index_info(indexes.name) AS columns
    WHERE indexes.origin = 'u'
    ORDER BY columns.seqno
);
SELECT group_concat("table" || '.' || "to") = 'providers.name,sports.code' FROM (
    SELECT "table", "to" FROM pragma_foreign_key_list('provider_states') ORDER BY "table"
);

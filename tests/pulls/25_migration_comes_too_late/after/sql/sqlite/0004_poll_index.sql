-- migrate:up
CREATE INDEX ix_provider_states_poll_interval ON provider_states (poll_interval_seconds);

-- migrate:down
DROP INDEX IF EXISTS ix_provider_states_poll_interval;

-- migrate:verify
SELECT count(*) = 1 FROM pragma_index_list('provider_states') WHERE name = 'ix_provider_states_poll_interval';

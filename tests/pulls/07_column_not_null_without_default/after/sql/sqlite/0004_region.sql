-- migrate:up
ALTER TABLE provider_states ADD COLUMN region TEXT NOT NULL;
CREATE INDEX ix_provider_states_region ON provider_states (region);

-- migrate:down
DROP INDEX ix_provider_states_region;

-- migrate:verify
SELECT count(*) = 23 FROM pragma_table_info('provider_states');

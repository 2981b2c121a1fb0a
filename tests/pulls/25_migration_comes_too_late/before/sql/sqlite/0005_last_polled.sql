-- migrate:up
ALTER TABLE provider_states ADD COLUMN last_polled TEXT;

-- migrate:down
ALTER TABLE provider_states DROP COLUMN last_polled;

-- migrate:verify
SELECT count(*) = 23 FROM pragma_table_info('provider_states');

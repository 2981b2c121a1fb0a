-- migrate:up
CREATE INDEX i ON provider_states (id);

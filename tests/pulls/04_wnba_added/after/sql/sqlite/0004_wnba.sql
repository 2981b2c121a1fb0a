-- A fifth sport.
-- migrate:up
INSERT INTO sports (code) VALUES ('WNBA') ON CONFLICT DO NOTHING;

-- migrate:down
DELETE FROM sports WHERE code = 'WNBA';

-- migrate:verify
SELECT count(*) = 1 FROM sports WHERE code = 'WNBA';

-- migrate:up
INSERT INTO providers (name) VALUES ('the_odds_api') ON CONFLICT DO NOTHING;

-- migrate:down
DELETE FROM providers WHERE name = 'the_odds_api';

-- migrate:verify
SELECT count(*) = 1 FROM providers WHERE name = 'the_odds_api';

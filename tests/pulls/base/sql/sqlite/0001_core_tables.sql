-- The application's own tables that the new ones refer to. It may have them already.
-- migrate:up
CREATE TABLE IF NOT EXISTS sports (
    code TEXT NOT NULL PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS providers (
    name TEXT NOT NULL PRIMARY KEY
);

INSERT INTO sports (code)
VALUES ('MLB'), ('NBA'), ('NFL'), ('NHL')
ON CONFLICT DO NOTHING;

INSERT INTO providers (name)
VALUES ('stub'), ('draftkings'), ('fanduel'), ('prizepicks'), ('betmgm'), ('theodds'), ('sportsradar')
ON CONFLICT DO NOTHING;

-- migrate:down
DROP TABLE IF EXISTS providers;
DROP TABLE IF EXISTS sports;

-- migrate:verify
SELECT count(*) = 4 FROM sports WHERE code IN ('MLB', 'NBA', 'NFL', 'NHL');
SELECT count(*) = 7 FROM providers
WHERE name IN ('stub', 'draftkings', 'fanduel', 'prizepicks', 'betmgm', 'theodds', 'sportsradar');

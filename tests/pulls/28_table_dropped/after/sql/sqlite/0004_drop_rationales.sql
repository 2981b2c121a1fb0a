-- migrate:up
DROP TABLE portfolio_rationales;

-- migrate:down
CREATE TABLE portfolio_rationales (id INTEGER PRIMARY KEY);

-- migrate:up
BEGIN;
CREATE TABLE t (a);
COMMIT;

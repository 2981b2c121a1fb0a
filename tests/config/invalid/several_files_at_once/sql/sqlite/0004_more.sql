-- migrate:up
COMMIT;

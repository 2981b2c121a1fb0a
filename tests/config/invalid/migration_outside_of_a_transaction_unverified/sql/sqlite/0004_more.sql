-- migrate:up transaction:false
VACUUM;
ANALYZE;

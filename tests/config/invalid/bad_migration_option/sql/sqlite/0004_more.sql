-- migrate:up transction:false
SELECT 1;

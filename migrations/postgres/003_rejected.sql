-- Which half of the exchange was answered by us instead of passed on: request or response.
ALTER TABLE validation_runs ADD COLUMN rejected TEXT;

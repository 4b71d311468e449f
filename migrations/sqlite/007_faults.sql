-- oldest-reader: 5
-- Whose fault the violations of a record are; NULL in records without any and in older ones.
ALTER TABLE validation_runs ADD COLUMN fault TEXT;

-- The same of a group, what was found in the place of something documented, and the statuses
-- that the service answered with.
ALTER TABLE violation_groups ADD COLUMN fault TEXT;
ALTER TABLE violation_groups ADD COLUMN found TEXT;
ALTER TABLE violation_groups ADD COLUMN statuses TEXT NOT NULL DEFAULT '[]';

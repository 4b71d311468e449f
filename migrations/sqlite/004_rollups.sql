-- Numbers beside the records. A series is a combination of names that records carry; a facet
-- sums up many of them and leaves the other names empty. Numbers are never given twice.
CREATE TABLE validation_series (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- hex SHA-256 of facet, names, verdict and codes
    fingerprint TEXT NOT NULL UNIQUE,
    facet TEXT NOT NULL,
    schema_id TEXT NOT NULL,
    environment TEXT NOT NULL,
    request_method TEXT NOT NULL,
    operation TEXT,
    consumer_id TEXT NOT NULL,
    valid INTEGER NOT NULL CHECK (valid IN (0, 1))
);
CREATE INDEX idx_series_facet ON validation_series (facet, schema_id);

-- Which violation codes the records of a series carry.
CREATE TABLE validation_series_codes (
    series INTEGER NOT NULL REFERENCES validation_series (id) ON DELETE CASCADE,
    code TEXT NOT NULL,
    PRIMARY KEY (series, code)
) WITHOUT ROWID;

-- Records of a series in a bucket of time: 0 minute, 1 hour, 2 day, 3 thirty days. Starts are
-- whole multiples of the width, in microseconds since the Unix epoch.
CREATE TABLE validation_rollups (
    span INTEGER NOT NULL,
    start INTEGER NOT NULL,
    series INTEGER NOT NULL REFERENCES validation_series (id),
    total INTEGER NOT NULL,
    PRIMARY KEY (span, start, series)
) WITHOUT ROWID;
CREATE INDEX idx_rollups_series ON validation_rollups (series, span, start);

-- NULL only in records of an earlier version, until they are counted.
ALTER TABLE validation_runs ADD COLUMN series INTEGER;
CREATE INDEX idx_validations_uncounted ON validation_runs (validated_at) WHERE series IS NULL;

-- Sums replace the indexes that held all that was counted; ids of 36 bytes leave the others.
DROP INDEX idx_validations_validated_at;
DROP INDEX idx_validations_schema_id;
DROP INDEX idx_validations_consumer_id;
DROP INDEX idx_validations_operation;
DROP INDEX idx_validations_invalid;
CREATE INDEX idx_validations_validated_at ON validation_runs (validated_at, series);
CREATE INDEX idx_validations_schema_id ON validation_runs (schema_id, validated_at);
CREATE INDEX idx_validations_consumer_id ON validation_runs (consumer_id, validated_at);
CREATE INDEX idx_validations_operation ON validation_runs (operation, validated_at);
CREATE INDEX idx_validations_invalid ON validation_runs (validated_at) WHERE NOT valid;
DROP INDEX idx_violations_run;
DROP INDEX idx_violations_validated_at;

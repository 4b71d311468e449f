-- Numbers beside the records. A series is a combination of names that records carry; a facet
-- sums up many of them and leaves the other names empty. Numbers are never given twice.
CREATE TABLE validation_series (
    id BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- hex SHA-256 of facet, names, verdict and codes
    fingerprint TEXT COLLATE "C" NOT NULL UNIQUE,
    facet TEXT COLLATE "C" NOT NULL,
    schema_id TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    request_method TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C",
    consumer_id TEXT COLLATE "C" NOT NULL,
    valid BOOLEAN NOT NULL
);
CREATE INDEX idx_series_facet ON validation_series (facet, schema_id);

-- Which violation codes the records of a series carry.
CREATE TABLE validation_series_codes (
    series BIGINT NOT NULL REFERENCES validation_series (id) ON DELETE CASCADE,
    code TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (series, code)
);

-- Records of a series in a bucket of time: 0 minute, 1 hour, 2 day, 3 thirty days. Starts are
-- whole multiples of the width, in microseconds since the Unix epoch. Room is left on the
-- pages so that counting up stays on the page.
CREATE TABLE validation_rollups (
    span BIGINT NOT NULL,
    start BIGINT NOT NULL,
    series BIGINT NOT NULL REFERENCES validation_series (id),
    total BIGINT NOT NULL,
    PRIMARY KEY (span, start, series)
) WITH (fillfactor = 70);
CREATE INDEX idx_rollups_series ON validation_rollups (series, span, start);

-- NULL only in records of an earlier version, until they are counted.
ALTER TABLE validation_runs ADD COLUMN series BIGINT;
CREATE INDEX idx_validations_uncounted ON validation_runs (validated_at) WHERE series IS NULL;

-- Sums replace the indexes that held all that was counted; ids leave the others.
DROP INDEX idx_validations_validated_at;
DROP INDEX idx_validations_schema_id;
DROP INDEX idx_validations_consumer_id;
DROP INDEX idx_validations_operation;
DROP INDEX idx_validations_invalid;
CREATE INDEX idx_validations_validated_at ON validation_runs (validated_at) INCLUDE (series);
CREATE INDEX idx_validations_schema_id ON validation_runs (schema_id, validated_at);
CREATE INDEX idx_validations_consumer_id ON validation_runs (consumer_id, validated_at);
CREATE INDEX idx_validations_operation ON validation_runs (operation, validated_at);
CREATE INDEX idx_validations_invalid ON validation_runs (validated_at) WHERE NOT valid;
DROP INDEX idx_violations_run;
DROP INDEX idx_violations_validated_at;

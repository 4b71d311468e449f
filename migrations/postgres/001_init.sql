-- Texts that are ordered or compared sort by their bytes, as in SQLite.

CREATE TABLE schemas (
    id UUID NOT NULL PRIMARY KEY,
    schema_id TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    content TEXT NOT NULL,
    content_hash TEXT COLLATE "C" NOT NULL,
    openapi_version TEXT COLLATE "C" NOT NULL,
    endpoint_count BIGINT NOT NULL DEFAULT 0,
    is_latest BOOLEAN NOT NULL DEFAULT FALSE,
    -- order of registration; the latest has the greatest
    sequence BIGINT NOT NULL,
    registered_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    owner TEXT COLLATE "C" NOT NULL DEFAULT '',
    team TEXT COLLATE "C" NOT NULL DEFAULT '',
    contact_email TEXT COLLATE "C" NOT NULL DEFAULT '',
    read_only BOOLEAN NOT NULL DEFAULT FALSE,
    environment TEXT COLLATE "C" NOT NULL DEFAULT 'dev',
    UNIQUE (schema_id, version)
);
CREATE UNIQUE INDEX idx_schemas_latest ON schemas (schema_id) WHERE is_latest;
CREATE INDEX idx_schemas_sequence ON schemas (schema_id, sequence);

-- One row: grows with every change of any schema.
CREATE TABLE schema_revision (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO schema_revision (id, revision) VALUES (1, 0);

-- Contents that were replaced under their version.
CREATE TABLE schema_history (
    schema_id TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    content_hash TEXT COLLATE "C" NOT NULL,
    replaced_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (schema_id, version, sequence)
);

-- Partitioned by UTC day; the sidecar makes and drops the partitions.
CREATE TABLE validation_runs (
    id UUID NOT NULL,
    schema_id TEXT COLLATE "C" NOT NULL,
    schema_version TEXT COLLATE "C" NOT NULL,
    schema_hash TEXT COLLATE "C" NOT NULL,
    request_method TEXT COLLATE "C" NOT NULL,
    request_path TEXT COLLATE "C" NOT NULL,
    request_headers JSONB NOT NULL,
    request_body TEXT,
    response_status BIGINT,
    response_headers JSONB NOT NULL,
    response_body TEXT,
    valid BOOLEAN NOT NULL,
    errors JSONB NOT NULL,
    duration_ms BIGINT NOT NULL,
    validated_at TIMESTAMPTZ NOT NULL,
    environment TEXT COLLATE "C" NOT NULL DEFAULT 'dev',
    client_id TEXT COLLATE "C" NOT NULL,
    client_ip TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C",
    violations JSONB NOT NULL,
    skipped JSONB NOT NULL,
    consumer_id TEXT COLLATE "C" NOT NULL,
    consumer_version TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    trace_id TEXT COLLATE "C",
    upstream_us BIGINT,
    duration_us BIGINT NOT NULL,
    request_size BIGINT NOT NULL,
    response_size BIGINT NOT NULL,
    PRIMARY KEY (id, validated_at)
) PARTITION BY RANGE (validated_at);
-- These two hold all that analytics ask for: no row is read.
CREATE INDEX idx_validations_validated_at ON validation_runs (validated_at, id)
    INCLUDE (schema_id, valid, request_method, operation, consumer_id, environment);
CREATE INDEX idx_validations_schema_id ON validation_runs (schema_id, validated_at, id)
    INCLUDE (valid, request_method, operation, consumer_id, environment);
CREATE INDEX idx_validations_consumer_id ON validation_runs (consumer_id, validated_at, id);
CREATE INDEX idx_validations_operation ON validation_runs (operation, validated_at, id);
CREATE INDEX idx_validations_invalid ON validation_runs (validated_at, id) WHERE NOT valid;
CREATE INDEX idx_validations_bodies ON validation_runs (validated_at)
    WHERE request_body IS NOT NULL OR response_body IS NOT NULL;

-- Which codes a record carries, once each.
CREATE TABLE validation_violations (
    code TEXT COLLATE "C" NOT NULL,
    validated_at TIMESTAMPTZ NOT NULL,
    run_id UUID NOT NULL,
    PRIMARY KEY (code, validated_at, run_id)
) PARTITION BY RANGE (validated_at);
CREATE INDEX idx_violations_run ON validation_violations (run_id);
CREATE INDEX idx_violations_validated_at ON validation_violations (validated_at, code);

CREATE TABLE violation_groups (
    fingerprint TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    schema_id TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C",
    schema_pointer TEXT COLLATE "C" NOT NULL,
    instance_pointer TEXT COLLATE "C" NOT NULL,
    message TEXT NOT NULL,
    count BIGINT NOT NULL,
    first_seen TIMESTAMPTZ NOT NULL,
    last_seen TIMESTAMPTZ NOT NULL,
    consumers JSONB NOT NULL,
    versions JSONB NOT NULL,
    example UUID
);
CREATE INDEX idx_groups_last_seen ON violation_groups (last_seen, fingerprint);
CREATE INDEX idx_groups_schema_id ON violation_groups (schema_id, last_seen, fingerprint);

CREATE TABLE schema_comparisons (
    id UUID NOT NULL PRIMARY KEY,
    schema_id TEXT COLLATE "C" NOT NULL,
    old_version TEXT COLLATE "C" NOT NULL,
    new_version TEXT COLLATE "C" NOT NULL,
    compatible BOOLEAN NOT NULL,
    breaking_changes JSONB NOT NULL,
    compared_at TIMESTAMPTZ NOT NULL,
    UNIQUE (schema_id, old_version, new_version)
);
CREATE INDEX idx_comparisons_compared_at ON schema_comparisons (schema_id, compared_at, id);

-- Batches that were merged lately: a repeated one changes nothing.
CREATE TABLE merged_batches (
    id UUID NOT NULL PRIMARY KEY,
    merged_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_merged_batches_merged_at ON merged_batches (merged_at);

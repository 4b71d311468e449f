-- Times are microseconds since the Unix epoch, UTC. Ids are UUIDs as text. JSON is text.

CREATE TABLE schemas (
    id TEXT NOT NULL PRIMARY KEY,
    schema_id TEXT NOT NULL,
    version TEXT NOT NULL,
    content TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    openapi_version TEXT NOT NULL,
    endpoint_count INTEGER NOT NULL DEFAULT 0,
    is_latest INTEGER NOT NULL DEFAULT 0 CHECK (is_latest IN (0, 1)),
    -- order of registration; the latest has the greatest
    sequence INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    owner TEXT NOT NULL DEFAULT '',
    team TEXT NOT NULL DEFAULT '',
    contact_email TEXT NOT NULL DEFAULT '',
    read_only INTEGER NOT NULL DEFAULT 0 CHECK (read_only IN (0, 1)),
    environment TEXT NOT NULL DEFAULT 'dev',
    UNIQUE (schema_id, version)
);
CREATE UNIQUE INDEX idx_schemas_latest ON schemas (schema_id) WHERE is_latest;
CREATE INDEX idx_schemas_sequence ON schemas (schema_id, sequence);

-- One row: grows with every change of any schema.
CREATE TABLE schema_revision (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
);
INSERT INTO schema_revision (id, revision) VALUES (1, 0);

-- Contents that were replaced under their version.
CREATE TABLE schema_history (
    schema_id TEXT NOT NULL,
    version TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    replaced_at INTEGER NOT NULL,
    PRIMARY KEY (schema_id, version, sequence)
) WITHOUT ROWID;

CREATE TABLE validation_runs (
    id TEXT NOT NULL PRIMARY KEY,
    schema_id TEXT NOT NULL,
    schema_version TEXT NOT NULL,
    schema_hash TEXT NOT NULL,
    request_method TEXT NOT NULL,
    request_path TEXT NOT NULL,
    request_headers TEXT NOT NULL,
    request_body TEXT,
    response_status INTEGER,
    response_headers TEXT NOT NULL,
    response_body TEXT,
    valid INTEGER NOT NULL CHECK (valid IN (0, 1)),
    errors TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    validated_at INTEGER NOT NULL,
    environment TEXT NOT NULL DEFAULT 'dev',
    client_id TEXT NOT NULL,
    client_ip TEXT NOT NULL,
    operation TEXT,
    violations TEXT NOT NULL,
    skipped TEXT NOT NULL,
    consumer_id TEXT NOT NULL,
    consumer_version TEXT NOT NULL,
    mode TEXT NOT NULL,
    request_id TEXT NOT NULL,
    trace_id TEXT,
    upstream_us INTEGER,
    duration_us INTEGER NOT NULL,
    request_size INTEGER NOT NULL,
    response_size INTEGER NOT NULL
);
-- These two hold all that analytics ask for: no row is read.
CREATE INDEX idx_validations_validated_at
    ON validation_runs (validated_at, id, schema_id, valid, request_method, operation, consumer_id, environment);
CREATE INDEX idx_validations_schema_id
    ON validation_runs (schema_id, validated_at, id, valid, request_method, operation, consumer_id, environment);
CREATE INDEX idx_validations_consumer_id ON validation_runs (consumer_id, validated_at, id);
CREATE INDEX idx_validations_operation ON validation_runs (operation, validated_at, id);
CREATE INDEX idx_validations_invalid ON validation_runs (validated_at, id) WHERE NOT valid;
CREATE INDEX idx_validations_bodies ON validation_runs (validated_at)
    WHERE request_body IS NOT NULL OR response_body IS NOT NULL;

-- Which codes a record carries, once each.
CREATE TABLE validation_violations (
    code TEXT NOT NULL,
    validated_at INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (code, validated_at, run_id)
) WITHOUT ROWID;
CREATE INDEX idx_violations_run ON validation_violations (run_id);
CREATE INDEX idx_violations_validated_at ON validation_violations (validated_at, code);

CREATE TABLE violation_groups (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    schema_id TEXT NOT NULL,
    method TEXT NOT NULL,
    operation TEXT NOT NULL,
    code TEXT NOT NULL,
    name TEXT,
    schema_pointer TEXT NOT NULL,
    instance_pointer TEXT NOT NULL,
    message TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    consumers TEXT NOT NULL,
    versions TEXT NOT NULL,
    example TEXT
) WITHOUT ROWID;
CREATE INDEX idx_groups_last_seen ON violation_groups (last_seen, fingerprint);
CREATE INDEX idx_groups_schema_id ON violation_groups (schema_id, last_seen, fingerprint);

CREATE TABLE schema_comparisons (
    id TEXT NOT NULL PRIMARY KEY,
    schema_id TEXT NOT NULL,
    old_version TEXT NOT NULL,
    new_version TEXT NOT NULL,
    compatible INTEGER NOT NULL CHECK (compatible IN (0, 1)),
    breaking_changes TEXT NOT NULL,
    compared_at INTEGER NOT NULL,
    UNIQUE (schema_id, old_version, new_version)
);
CREATE INDEX idx_comparisons_compared_at ON schema_comparisons (schema_id, compared_at, id);

-- Batches that were merged lately: a repeated one changes nothing.
CREATE TABLE merged_batches (
    id TEXT NOT NULL PRIMARY KEY,
    merged_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX idx_merged_batches_merged_at ON merged_batches (merged_at);

CREATE TABLE consumers (
    id TEXT NOT NULL PRIMARY KEY,
    consumer_id TEXT NOT NULL,
    consumer_version TEXT NOT NULL,
    schema_id TEXT NOT NULL,
    schema_version TEXT NOT NULL,
    environment TEXT NOT NULL DEFAULT 'dev',
    registered_at INTEGER NOT NULL,
    last_validated_at INTEGER NOT NULL,
    used_endpoints TEXT NOT NULL,
    UNIQUE (consumer_id, schema_id, environment)
);
CREATE INDEX idx_consumers_schema_id ON consumers (schema_id, environment);

CREATE TABLE consumer_usage (
    schema_id TEXT NOT NULL,
    consumer_id TEXT NOT NULL,
    environment TEXT NOT NULL,
    path TEXT NOT NULL,
    method TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    schema_version TEXT NOT NULL,
    consumer_version TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (schema_id, consumer_id, environment, path, method, kind, name)
) WITHOUT ROWID;
CREATE INDEX idx_usage_consumer_id ON consumer_usage (consumer_id, schema_id, environment);

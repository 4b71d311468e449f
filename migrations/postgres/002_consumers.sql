CREATE TABLE consumers (
    id UUID NOT NULL PRIMARY KEY,
    consumer_id TEXT COLLATE "C" NOT NULL,
    consumer_version TEXT COLLATE "C" NOT NULL,
    schema_id TEXT COLLATE "C" NOT NULL,
    schema_version TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL DEFAULT 'dev',
    registered_at TIMESTAMPTZ NOT NULL,
    last_validated_at TIMESTAMPTZ NOT NULL,
    used_endpoints JSONB NOT NULL,
    UNIQUE (consumer_id, schema_id, environment)
);
CREATE INDEX idx_consumers_schema_id ON consumers (schema_id, environment);

CREATE TABLE consumer_usage (
    schema_id TEXT COLLATE "C" NOT NULL,
    consumer_id TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    schema_version TEXT COLLATE "C" NOT NULL,
    consumer_version TEXT COLLATE "C" NOT NULL,
    count BIGINT NOT NULL,
    first_seen TIMESTAMPTZ NOT NULL,
    last_seen TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (schema_id, consumer_id, environment, path, method, kind, name)
);
CREATE INDEX idx_usage_consumer_id ON consumer_usage (consumer_id, schema_id, environment);

-- Records that are not in the sums yet: how many of a series fall into a minute.
CREATE TABLE validation_recent (
    minute INTEGER NOT NULL,
    series INTEGER NOT NULL,
    total INTEGER NOT NULL
);

-- Time lines are read from this index alone; sums change seldom enough to keep it.
DROP INDEX idx_rollups_series;
CREATE INDEX idx_rollups_series ON validation_rollups (series, span, start, total);

-- Facets are summed by the hour alone, but for the sum over everything.
DELETE FROM validation_rollups WHERE span = 0 AND series IN
    (SELECT id FROM validation_series WHERE facet NOT IN ('record', 'all'));

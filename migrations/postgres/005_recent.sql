-- Records that are not in the sums yet: how many of each series fall into a minute, a row per
-- batch and minute. Rows are few and short-lived; compressing them would be wasted.
CREATE TABLE validation_recent_batches (
    minute BIGINT NOT NULL,
    series BIGINT[] NOT NULL,
    totals BIGINT[] NOT NULL
);
ALTER TABLE validation_recent_batches
    ALTER COLUMN series SET STORAGE EXTERNAL,
    ALTER COLUMN totals SET STORAGE EXTERNAL;
CREATE VIEW validation_recent AS
    SELECT b.minute, u.series, u.total FROM validation_recent_batches AS b
    CROSS JOIN LATERAL UNNEST(b.series, b.totals) AS u (series, total);

-- Facets are summed by the hour alone, but for the sum over everything.
DELETE FROM validation_rollups WHERE span = 0 AND series IN
    (SELECT id FROM validation_series WHERE facet NOT IN ('record', 'all'));

-- oldest-reader: 5
-- A path template is called `path_template`; `operation` names a method with its template.
-- The last release reads and writes the column `operation`, so both are there for one release
-- and this one writes both. Rows of before, and rows the last release writes meanwhile, have
-- NULL in the new one and are read from the old one. A later migration fills them up and drops
-- `operation`.
-- A column without default changes the catalogue alone: no row is rewritten or read under the
-- lock, however big the table is. Generated columns were the alternative: PostgreSQL stores
-- them, which rewrites the table, and neither database can make one a column of its own later.
ALTER TABLE validation_runs ADD COLUMN path_template TEXT;
ALTER TABLE validation_series ADD COLUMN path_template TEXT;
ALTER TABLE violation_groups ADD COLUMN path_template TEXT;

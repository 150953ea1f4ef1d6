-- Which fields a log row decided otherwise than agreed, for the filter `field`: nearly all rows share their fields with
-- many others, so each set is kept once and a row names its set.
CREATE TABLE field_sets (
    id     INTEGER PRIMARY KEY,
    fields TEXT NOT NULL UNIQUE        -- in order, one a line
);
CREATE TABLE field_set_members (
    field  TEXT NOT NULL,
    set_id INTEGER NOT NULL,
    PRIMARY KEY (field, set_id)
) WITHOUT ROWID;
ALTER TABLE sync_log ADD COLUMN field_set INTEGER;

CREATE TABLE sets_of_rows (log_id INTEGER PRIMARY KEY, fields TEXT NOT NULL);
INSERT INTO sets_of_rows (log_id, fields)
    SELECT log_id, group_concat(field, char(10) ORDER BY field) FROM sync_log_fields GROUP BY log_id;
INSERT INTO field_sets (fields) SELECT DISTINCT fields FROM sets_of_rows;
UPDATE sync_log SET field_set = s.id
  FROM sets_of_rows r JOIN field_sets s ON s.fields = r.fields
 WHERE r.log_id = sync_log.id;
INSERT INTO field_set_members (field, set_id)
    SELECT DISTINCT f.field, s.field_set FROM sync_log_fields f JOIN sync_log s ON s.id = f.log_id
     WHERE s.field_set IS NOT NULL;
DROP TABLE sets_of_rows;
DROP TABLE sync_log_fields;

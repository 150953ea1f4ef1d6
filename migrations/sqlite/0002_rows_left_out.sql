-- Rows of the mapping that are not written, with the pair of values that the CRM refused; null: the value does not fit the
-- field, or the field cannot be written. A changed mapping or schema is a reason to try again.
ALTER TABLE links ADD COLUMN left_out TEXT NOT NULL DEFAULT '{}';
CREATE INDEX links_left_out ON links (destination, fingerprint) WHERE left_out <> '{}';

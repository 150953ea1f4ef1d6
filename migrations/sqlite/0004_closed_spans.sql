-- Spans of time in which a destination's gate was closed: they do not count towards giving a lead up, restarts or not.
CREATE TABLE closed_spans (
    destination TEXT NOT NULL,
    closed_at   INTEGER NOT NULL,
    opened_at   INTEGER NOT NULL,                              -- while it is closed: until when that is known
    PRIMARY KEY (destination, closed_at)
) WITHOUT ROWID;

-- What happened to nodes and is still to be told: recorded with the change itself, so that nothing is told that did not
-- happen and nothing happens that is not told (see `outbox.rs`).
CREATE TABLE outbox (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Whose watchers hear it.
    node  INTEGER NOT NULL,
    event TEXT NOT NULL
) STRICT;

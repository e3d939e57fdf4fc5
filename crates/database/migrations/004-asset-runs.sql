-- Files of long sequences: one row for many (see `runs.rs`). Their ids are of one series with those of `asset`.
CREATE TABLE asset_run (
    data_source INTEGER NOT NULL REFERENCES data_source (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    first_id    INTEGER NOT NULL UNIQUE,
    count       INTEGER NOT NULL,
    parameter   TEXT NOT NULL,
    first_num   INTEGER NOT NULL,
    directory   TEXT NOT NULL,
    files       BLOB NOT NULL,
    PRIMARY KEY (data_source, position)
) STRICT;
CREATE INDEX asset_run_directory ON asset_run (directory);

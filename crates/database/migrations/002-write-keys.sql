-- Keys under which clients have sent writes of data that were done: a repetition is not done again.
CREATE TABLE write_key (
    key  TEXT PRIMARY KEY,
    node INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    at   INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX write_key_at ON write_key (at);
CREATE INDEX write_key_node ON write_key (node);

-- What watchers heard, in the order of its coming.
CREATE TABLE heard (
    id       INTEGER PRIMARY KEY,
    node     INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- The number before; more than one less where numbers may have got lost.
    previous INTEGER NOT NULL,
    -- Which of the lives between losses of power it belongs to.
    life     INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    -- Of a write that may be repeated.
    key      BLOB,
    event    TEXT NOT NULL,
    -- NULL when it lies in a file.
    payload  BLOB,
    size     INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (node, sequence)
) STRICT;
CREATE INDEX heard_key ON heard (node, key) WHERE key IS NOT NULL;

-- Last numbers of nodes of which nothing is kept any more.
CREATE TABLE last (
    node     INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    life     INTEGER NOT NULL
) STRICT;

-- One row. `newest` is the newest node when the life began.
CREATE TABLE life (
    number INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    boot   TEXT NOT NULL,
    closed INTEGER NOT NULL
) STRICT;
INSERT INTO life (number, newest, boot, closed) VALUES (0, 0, '', 1);

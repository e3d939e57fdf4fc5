-- The tree. `path` is whole and never changes: look-up is one probe, a subtree is a range.
CREATE TABLE node (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    parent       INTEGER REFERENCES node (id),
    key          TEXT NOT NULL,
    path         TEXT NOT NULL UNIQUE,
    depth        INTEGER NOT NULL,
    family       TEXT NOT NULL,
    metadata     TEXT NOT NULL,
    specs        TEXT NOT NULL,
    version      INTEGER NOT NULL DEFAULT 1,
    data_version INTEGER NOT NULL DEFAULT 0,
    children     INTEGER NOT NULL DEFAULT 0,
    created      INTEGER NOT NULL,
    updated      INTEGER NOT NULL
) STRICT;
CREATE INDEX node_order ON node (parent, id);
CREATE UNIQUE INDEX node_key ON node (parent, key);
-- Nodes that have children: a search of a whole subtree asks the index of each.
CREATE INDEX node_inner ON node (path) WHERE children > 0;
INSERT INTO node (id, parent, key, path, depth, family, metadata, specs, created, updated)
VALUES (0, NULL, '', '', 0, 'container', '{}', '[]', 0, 0);

-- Where in the metadata a value stands. `element` marks the elements of a list at that place.
CREATE TABLE key_path (
    id      INTEGER PRIMARY KEY,
    path    TEXT NOT NULL,
    element INTEGER NOT NULL,
    UNIQUE (path, element)
) STRICT;
-- Reserved (see `leaf.rs`); no key path begins with a NUL.
INSERT INTO key_path (id, path, element)
VALUES (1, char(0) || 'family', 0), (2, char(0) || 'spec', 0), (3, char(0) || 'specs', 0);

-- Every value of every node's metadata, in search order (see `leaf.rs`).
CREATE TABLE leaf (
    parent INTEGER NOT NULL,
    path   INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    value  ANY NOT NULL,
    node   INTEGER NOT NULL,
    PRIMARY KEY (parent, path, kind, value, node)
) WITHOUT ROWID, STRICT;

-- Words of the metadata's texts; the row id is the node's.
CREATE VIRTUAL TABLE words USING fts5 (
    text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TABLE data_source (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    node       INTEGER NOT NULL UNIQUE REFERENCES node (id) ON DELETE CASCADE,
    family     TEXT NOT NULL,
    structure  TEXT NOT NULL,
    mimetype   TEXT NOT NULL,
    parameters TEXT NOT NULL,
    properties TEXT NOT NULL,
    management TEXT NOT NULL
) STRICT;

-- One row a URI; several data sources may share it. Ids are never used again.
CREATE TABLE asset (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    data_uri     TEXT NOT NULL UNIQUE,
    is_directory INTEGER NOT NULL,
    size         INTEGER
) STRICT;

CREATE TABLE data_source_asset (
    data_source INTEGER NOT NULL REFERENCES data_source (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    asset       INTEGER NOT NULL REFERENCES asset (id),
    parameter   TEXT,
    num         INTEGER,
    PRIMARY KEY (data_source, position)
) WITHOUT ROWID, STRICT;
CREATE INDEX data_source_asset_asset ON data_source_asset (asset);

CREATE TABLE revision (
    node     INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    specs    TEXT NOT NULL,
    updated  INTEGER NOT NULL,
    PRIMARY KEY (node, number)
) WITHOUT ROWID, STRICT;

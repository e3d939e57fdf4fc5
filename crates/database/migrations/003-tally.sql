-- How many rows of the index a container has at each place: whether all its children have a value there.
CREATE TABLE tally (
    parent INTEGER NOT NULL,
    path   INTEGER NOT NULL,
    leaves INTEGER NOT NULL,
    PRIMARY KEY (parent, path)
) WITHOUT ROWID, STRICT;
INSERT INTO tally (parent, path, leaves) SELECT parent, path, count(*) FROM leaf GROUP BY parent, path;

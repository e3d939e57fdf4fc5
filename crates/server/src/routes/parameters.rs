//! Query parameters of all endpoints, for the documentation.

use crate::endpoint::{Kind, Parameter};

const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind: Kind::Text, required: false, about }
}

const fn texts(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind: Kind::Texts, required: false, about }
}

const fn integer(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind: Kind::Integer, required: false, about }
}

const fn boolean(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind: Kind::Boolean, required: false, about }
}

const fn required(parameter: Parameter) -> Parameter {
    Parameter { required: true, ..parameter }
}

const FIELDS: Parameter = texts(
    "fields",
    "Attributes to send: metadata, structure_family, structure, count, sorting, specs, data_sources, access_tags; an empty one (fields=) for none of them, without it all",
);
const SELECT: Parameter =
    text("select_metadata", "JMESPath expression: send {\"selected\": …} instead of the whole metadata");
const DEPTH: Parameter = integer("max_depth", "Levels of contents to send along (0 to 5)");
const OMIT_LINKS: Parameter = boolean("omit_links", "Send no links (false)");
const SOURCES: Parameter = boolean("include_data_sources", "Send data sources and their assets (false)");
const MAX_ASSETS: Parameter =
    integer("max_assets", "Most assets to send of each data source (all); the others are at /asset/list");
const OFFSET: Parameter = integer("page[offset]", "Number of items to skip");
const CURSOR: Parameter = text("page[cursor]", "Where the previous page ended; from links.next");
const LIMIT: Parameter = integer("page[limit]", "Most items of a page (0 to 300; 100)");
const SORT: Parameter = texts(
    "sort",
    "Keys to sort by, '-' before a key reverses: a path into the metadata, 'id' for the node's key; an empty one (sort=, or sort=-) for the order of creation",
);
const FILTER: Parameter =
    texts("filter[{query}][condition][{field}]", "Conditions that must all hold; the About page lists the queries");
const EXPORT: Parameter =
    text("format", "Media types or file extensions, joined by commas; instead of the header Accept");
const FILENAME: Parameter = text("filename", "Name under which a browser saves the reply");
const SLICE: Parameter = text("slice", "NumPy slice, dimensions joined by commas: 0, 1:10, ::2, ::-1, ...");
const SHAPE: Parameter = text("expected_shape", "Shape of the result (5,3 or scalar); refuse when it is another");
const BLOCK_NUMBERS: Parameter =
    required(text("block", "Number of the block on each axis, joined by commas; empty for a scalar"));
const STORE: Parameter = boolean("persist", "Store the data (true); otherwise only those who watch see it");
const NUMBER: Parameter = required(integer("partition", "Number of the partition, from 0"));
const COLUMN: Parameter = texts("column", "Columns to send, in this order; all by default");
const FIELD: Parameter = texts("field", "Columns of a table, or children of a container; all by default");
const EXTERNAL_ONLY: Parameter =
    boolean("external_only", "Refuse when data that the server keeps would be deleted too (true)");
const ASSET_ID: Parameter = required(integer("id", "The asset's id, from the data sources"));
const VMIN: Parameter = text("vmin", "Images: value that is black");
const VMAX: Parameter = text("vmax", "Images: value that is white");
const CMAP: Parameter = text("cmap", "Images: name of the colour map");
const LOG: Parameter = boolean("log", "Images: logarithmic scale (false)");

pub(crate) const NODE: &[Parameter] = &[
    FIELDS,
    SELECT,
    DEPTH,
    OMIT_LINKS,
    SOURCES,
    MAX_ASSETS,
    boolean("root_path", "Send in meta where the server is mounted (false)"),
];
pub(crate) const UPDATE: &[Parameter] =
    &[boolean("drop_revision", "Do not keep the previous state as a revision (false)")];
pub(crate) const BULK: &[Parameter] =
    &[boolean("all_or_nothing", "Create nothing when a node cannot be created (false: create the others)")];
pub(crate) const DELETE: &[Parameter] = &[boolean("recursive", "Delete what lies below, too (false)"), EXTERNAL_ONLY];
pub(crate) const DATA_SOURCE: &[Parameter] = &[
    text("patch_shape", "Shape of what was added; together with patch_offset"),
    text("patch_offset", "Where it was added; together with patch_shape"),
];
pub(crate) const SEARCH: &[Parameter] =
    &[FIELDS, SELECT, DEPTH, OMIT_LINKS, SOURCES, MAX_ASSETS, OFFSET, CURSOR, LIMIT, SORT, FILTER];
pub(crate) const SEARCH_DEEP: &[Parameter] = &[
    FIELDS,
    SELECT,
    integer("max_depth", "Deepest level to search (1 to 64)"),
    OMIT_LINKS,
    SOURCES,
    MAX_ASSETS,
    OFFSET,
    CURSOR,
    LIMIT,
    FILTER,
];
pub(crate) const DISTINCT: &[Parameter] = &[
    texts("metadata", "Paths into the metadata whose values are wanted"),
    boolean("structure_families", "List structure families (false)"),
    boolean("specs", "List specs (false)"),
    boolean("counts", "Count how often each occurs (false)"),
    FILTER,
];
pub(crate) const REVISIONS: &[Parameter] = &[OFFSET, LIMIT];
pub(crate) const REVISION: &[Parameter] = &[required(integer("number", "Number of the revision"))];
pub(crate) const ARRAY: &[Parameter] = &[SLICE, SHAPE, EXPORT, FILENAME, VMIN, VMAX, CMAP, LOG];
pub(crate) const BLOCK: &[Parameter] = &[BLOCK_NUMBERS, SLICE, SHAPE, EXPORT, FILENAME, VMIN, VMAX, CMAP, LOG];
const KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    kind: Kind::Header,
    required: false,
    about: "Names this write: sent again with the same key, because the answer was lost, it is not done again",
};
pub(crate) const PERSIST: &[Parameter] = &[STORE, KEY];
pub(crate) const WRITE_BLOCK: &[Parameter] = &[BLOCK_NUMBERS, STORE, KEY];
pub(crate) const PATCH: &[Parameter] = &[
    required(text("offset", "Where the data goes, joined by commas; missing axes begin at 0")),
    required(text("shape", "Shape of the data, joined by commas")),
    boolean("extend", "Let the array grow to hold the data (false)"),
    KEY,
    STORE,
];
pub(crate) const STREAM: &[Parameter] = &[
    text("envelope_format", "Form of the messages: json (default) or msgpack"),
    integer("start", "Number of the first update to hear; 0 for all that is kept. Otherwise only what is new"),
    text("access_token", "A token of the caller, where no header can be sent"),
];
pub(crate) const FORMAT: &[Parameter] = &[EXPORT, FILENAME];
pub(crate) const TABLE: &[Parameter] = &[COLUMN, EXPORT, FILENAME];
pub(crate) const READ_PARTITION: &[Parameter] = &[NUMBER, COLUMN, FIELD, EXPORT, FILENAME];
pub(crate) const PARTITION_FORMAT: &[Parameter] = &[NUMBER, EXPORT, FILENAME];
pub(crate) const PARTITION: &[Parameter] = &[NUMBER, STORE, KEY];
pub(crate) const CONTAINER: &[Parameter] = &[FIELD, EXPORT, FILENAME];
pub(crate) const ASSETS: &[Parameter] = &[OFFSET, LIMIT];
pub(crate) const ASSET: &[Parameter] = &[ASSET_ID];
pub(crate) const ASSET_BYTES: &[Parameter] =
    &[ASSET_ID, text("relative_path", "File within a directory, as in its manifest")];
pub(crate) const DELETE_ASSET: &[Parameter] = &[ASSET_ID, EXTERNAL_ONLY];

//! URLs of a node: every key percent-encoded, placeholders as the protocol writes them.

use girih_model::wire::Links;
use girih_model::{Family, NodePath, Structure};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a path segment must not contain literally (RFC 3986, 3.3: unreserved characters and harmless sub-delimiters stay).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// `a/b c` as `a/b%20c`.
pub(crate) fn encode(path: &NodePath) -> String {
    let keys: Vec<String> = path.keys().map(|key| utf8_percent_encode(key, SEGMENT).to_string()).collect();
    keys.join("/")
}

/// The links of a node of this family below `api`, e.g. `http://host/api/v1`.
pub(crate) fn links(api: &str, path: &NodePath, family: Family, structure: Option<&Structure>) -> Links {
    let path = encode(path);
    let to = |endpoint: &str| format!("{api}/{endpoint}/{path}");
    let mut links = vec![("self", to("metadata"))];
    match family {
        Family::Container => {
            links.extend([
                ("search", to("search")),
                ("search_deep", to("search-deep")),
                ("full", to("container/full")),
            ]);
        }
        Family::Array | Family::Sparse => {
            let axes = structure.and_then(Structure::as_array).map_or(0, |array| array.shape.len());
            let block: Vec<_> = (0..axes).map(|axis| format!("{{{axis}}}")).collect();
            let block = format!("{}?block={}", to("array/block"), block.join(","));
            links.extend([("full", to("array/full")), ("block", block)]);
        }
        Family::Table => {
            let partition = format!("{}?partition={{index}}", to("table/partition"));
            links.extend([("full", to("table/full")), ("partition", partition)]);
        }
        Family::Awkward => links.extend([("buffers", to("awkward/buffers")), ("full", to("awkward/full"))]),
        Family::Ragged => {
            let block = format!("{}?block={{0}}", to("ragged/block"));
            links.extend([("full", to("ragged/full")), ("block", block)]);
        }
        Family::Bytes => {}
    }
    Links(links)
}

/// Only `self`, for a client that wants nothing else.
pub(crate) fn self_link(api: &str, path: &NodePath) -> Links {
    Links(vec![("self", format!("{api}/metadata/{}", encode(path)))])
}

#[cfg(test)]
mod tests {
    use girih_model::{ArrayStructure, DType};

    use super::*;

    #[test]
    fn each_family_has_its_links() {
        let path = NodePath::parse("b/arr").unwrap();
        let array = Structure::Array(ArrayStructure::new(DType::of("i4"), vec![4, 4]));
        let expected = [
            ("self", "H/metadata/b/arr"),
            ("full", "H/array/full/b/arr"),
            ("block", "H/array/block/b/arr?block={0},{1}"),
        ];
        let got = links("H", &path, Family::Array, Some(&array));
        assert_eq!(got.0.iter().map(|(name, url)| (*name, url.as_str())).collect::<Vec<_>>(), expected);
        let scalar = Structure::Array(ArrayStructure::new(DType::of("i4"), vec![]));
        assert_eq!(links("H", &path, Family::Array, Some(&scalar)).0[2].1, "H/array/block/b/arr?block=");
        let root = links("H", &NodePath::root(), Family::Container, None);
        assert_eq!(root.0[0].1, "H/metadata/");
        assert_eq!(root.0[2].1, "H/search-deep/");
        assert_eq!(links("H", &path, Family::Table, None).0[2].1, "H/table/partition/b/arr?partition={index}");
    }

    #[test]
    fn odd_keys_survive_the_way_there_and_back() {
        let keys = ["sp ace", "é+?#&", "100%", "{0}", "a:b@c", "'\"<>"];
        let path = NodePath::from_keys(keys).unwrap();
        let text = encode(&path);
        assert!(text.is_ascii() && !text.contains([' ', '?', '#', '{', '"', '<']), "{text}");
        let back = text.split('/').map(|key| percent_encoding::percent_decode_str(key).decode_utf8().unwrap());
        assert_eq!(NodePath::from_keys(back).unwrap(), path);
    }
}

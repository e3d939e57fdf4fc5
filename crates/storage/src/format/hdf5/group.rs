//! Groups: links from names to objects.

use girih_model::{Error, Result};

use super::attribute::Attribute;
use super::header::{Header, UNDEFINED};
use super::image::Image;
use super::tree;

/// Most links in a group's header, where finding one means reading all before it.
const MAX_IN_HEADER: usize = 2048;
/// Entries of a symbol table node: twice the default "group leaf node K".
const NODE: usize = 8;

/// Writes a group; returns its address. The links keep their order, unless there are so many that
/// they go into a symbol table, which is sorted by name.
pub(super) fn write(image: &mut Image, links: &[(String, u64)], attributes: &[Attribute]) -> Result<u64> {
    let mut header = if links.len() <= MAX_IN_HEADER {
        let mut header = Header::group(links.len() as u64)?;
        for (n, (name, address)) in links.iter().enumerate() {
            header.link(n as u64, name, *address)?;
        }
        header
    } else {
        symbol_table(image, links)?
    };
    for attribute in attributes {
        attribute.write(&mut header, &mut image.heap)?;
    }
    image.push(&header.encode())
}

/// Local heap (III.D), symbol table nodes (III.B) and the B-tree over them.
fn symbol_table(image: &mut Image, links: &[(String, u64)]) -> Result<Header> {
    let mut sorted: Vec<_> = links.iter().collect();
    sorted.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    // The empty name, smaller than all others, comes first.
    let mut names = vec![0; 8];
    let mut offsets = Vec::with_capacity(sorted.len());
    for (name, _) in &sorted {
        offsets.push(names.len() as u64);
        names.extend_from_slice(name.as_bytes());
        names.resize((names.len() + 1).next_multiple_of(8), 0);
    }
    let data = image.push(&names)?;
    let mut heap = b"HEAP\0\0\0\0".to_vec();
    // Length; no free list, which is spelled 1; where the names are.
    for field in [names.len() as u64, 1, data] {
        heap.extend_from_slice(&field.to_le_bytes());
    }
    let heap = image.push(&heap)?;

    let mut tables = Vec::with_capacity(sorted.len().div_ceil(NODE));
    let mut before = 0;
    for (links, offsets) in sorted.chunks(NODE).zip(offsets.chunks(NODE)) {
        let mut node = b"SNOD\x01\0".to_vec();
        node.extend_from_slice(&(links.len() as u16).to_le_bytes());
        for ((_, address), offset) in links.iter().zip(offsets) {
            node.extend_from_slice(&offset.to_le_bytes());
            node.extend_from_slice(&address.to_le_bytes());
            node.extend_from_slice(&[0; 24]);
        }
        node.resize(8 + NODE * 40, 0);
        tables.push((before, image.push(&node)?));
        before = offsets.last().copied().unwrap_or(before);
    }
    let tree = tree::of_names(image, tables, before)?;
    debug_assert_ne!(tree, UNDEFINED);
    Header::large_group(tree, heap)
}

/// Names that HDF5 allows: without slash and NUL, not empty, not `.`. What is changed must stay unique.
///
/// # Errors
/// `NotAcceptable` when two names become the same.
pub(super) fn link_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>> {
    let allowed: Vec<String> = names.into_iter().map(link_name).collect();
    let mut seen = std::collections::HashSet::with_capacity(allowed.len());
    match allowed.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(Error::not_acceptable(format!(
            "Two names become the same in an HDF5 file: {twice:?}. Request another format."
        ))),
        None => Ok(allowed),
    }
}

/// A slash becomes a division slash (U+2215), which looks the same; what has no likeness an underscore.
fn link_name(name: &str) -> String {
    match name {
        "" | "." => "_".into(),
        _ => name.replace('/', "\u{2215}").replace('\0', "_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_allowed_and_stay_unique() {
        assert_eq!(link_names(["a", "b/c", "", "ü"]).unwrap(), ["a", "b∕c", "_", "ü"]);
        let error = link_names(["a", "a\0", "a_"]).unwrap_err();
        assert!(error.message().contains("\"a_\""), "{error}");
    }
}

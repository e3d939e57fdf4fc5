//! The directory of a page: its tags (TIFF 6.0, section 2, and the BigTIFF design).

use super::layout::Layout;

/// Bytes of a file whose offsets still fit into 32 bits.
const CLASSIC_BYTES: u64 = u32::MAX as u64;

/// Whether offsets have 32 or 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Classic,
    Big,
}

impl Variant {
    /// Whether all offsets of a file of this length fit.
    pub(super) fn holds(self, bytes: u64) -> bool {
        self.is_big() || bytes <= CLASSIC_BYTES
    }

    fn is_big(self) -> bool {
        self == Self::Big
    }

    /// Bytes of the file's header.
    pub(super) fn header_bytes(self) -> u64 {
        if self.is_big() { 16 } else { 8 }
    }
}

enum Value {
    Ascii(String),
    Short(Vec<u16>),
    Long(u32),
    /// 32 or 64 bits.
    Offset(u64),
    /// One of one.
    Unit,
}

/// Writes numbers in the file's byte order.
struct Ints<'a> {
    out: &'a mut Vec<u8>,
    big_endian: bool,
}

impl Ints<'_> {
    fn put(&mut self, value: u64, bytes: usize) {
        if self.big_endian {
            self.out.extend(&value.to_be_bytes()[8 - bytes..]);
        } else {
            self.out.extend(&value.to_le_bytes()[..bytes]);
        }
    }
}

/// Appends the file's header; the first directory follows it.
pub(super) fn push_header(layout: &Layout, variant: Variant, out: &mut Vec<u8>) {
    out.extend(if layout.big_endian { b"MM" } else { b"II" });
    let mut ints = Ints { out, big_endian: layout.big_endian };
    match variant {
        Variant::Classic => {
            ints.put(42, 2);
            ints.put(variant.header_bytes(), 4);
        }
        Variant::Big => {
            ints.put(43, 2);
            ints.put(8, 2);
            ints.put(0, 2);
            ints.put(variant.header_bytes(), 8);
        }
    }
}

/// Where a directory and what it points at lie in the file.
pub(super) struct Offsets {
    pub(super) directory: u64,
    /// The directory of the next page, or zero.
    pub(super) next: u64,
    /// The samples of the page, in one strip.
    pub(super) strip: u64,
}

/// Appends the directory of a page. Its length does not depend on the offsets.
pub(super) fn push_directory(layout: &Layout, variant: Variant, first: bool, at: &Offsets, out: &mut Vec<u8>) {
    let tags = tags(layout, first, at.strip);
    let (count_bytes, offset_bytes) = if variant.is_big() { (8, 8) } else { (2, 4) };
    let mut extra_at = at.directory + count_bytes + (4 + 2 * offset_bytes) * tags.len() as u64 + offset_bytes;
    let mut extra = Vec::new();
    let offset_bytes = offset_bytes as usize;
    let mut ints = Ints { out, big_endian: layout.big_endian };
    ints.put(tags.len() as u64, count_bytes as usize);
    for (tag, value) in tags {
        let mut bytes = Vec::new();
        let (kind, count) = push_value(&value, variant, layout.big_endian, &mut bytes);
        ints.put(tag.into(), 2);
        ints.put(kind, 2);
        ints.put(count, offset_bytes);
        if bytes.len() <= offset_bytes {
            bytes.resize(offset_bytes, 0);
            ints.out.extend(bytes);
        } else {
            ints.put(extra_at, offset_bytes);
            bytes.resize(bytes.len().next_multiple_of(2), 0);
            extra_at += bytes.len() as u64;
            extra.extend(bytes);
        }
    }
    ints.put(at.next, offset_bytes);
    out.extend(extra);
}

/// Bytes of a directory with all its values.
pub(super) fn directory_bytes(layout: &Layout, variant: Variant, first: bool) -> u64 {
    let (count_bytes, offset_bytes) = if variant.is_big() { (8, 8) } else { (2, 4) };
    let tags = tags(layout, first, 0);
    let entries = (4 + 2 * offset_bytes) * tags.len();
    let extra = tags.iter().map(|(_, value)| {
        let mut bytes = Vec::new();
        push_value(value, variant, layout.big_endian, &mut bytes);
        if bytes.len() <= offset_bytes { 0 } else { bytes.len().next_multiple_of(2) }
    });
    (count_bytes + entries + offset_bytes + extra.sum::<usize>()) as u64
}

/// Tags in ascending order.
fn tags(layout: &Layout, first: bool, strip: u64) -> Vec<(u16, Value)> {
    let one = |value: u16| Value::Short(vec![value]);
    let each = |value: u16| Value::Short(vec![value; layout.samples.into()]);
    let (min_is_black, rgb) = (1, 2);
    let mut tags = vec![
        (256, Value::Long(layout.width)),
        (257, Value::Long(layout.height)),
        (258, each(layout.bits)),
        (259, one(1)),
        (262, one(if layout.samples > 1 { rgb } else { min_is_black })),
    ];
    if first {
        let lengths: Vec<_> = layout.shape.iter().map(u64::to_string).collect();
        tags.push((270, Value::Ascii(format!("{{\"shape\": [{}]}}", lengths.join(", ")))));
    }
    tags.extend([
        (273, Value::Offset(strip)),
        (277, one(layout.samples)),
        (278, Value::Long(layout.height)),
        (279, Value::Offset(layout.page_bytes())),
        (282, Value::Unit),
        (283, Value::Unit),
        (296, one(1)),
    ]);
    if layout.samples == 4 {
        let unassociated_alpha = 2;
        tags.push((338, one(unassociated_alpha)));
    }
    tags.push((339, each(layout.format as u16)));
    tags
}

/// Appends a value; returns its type and how many there are.
fn push_value(value: &Value, variant: Variant, big_endian: bool, out: &mut Vec<u8>) -> (u64, u64) {
    let mut ints = Ints { out, big_endian };
    match value {
        Value::Ascii(text) => {
            out.extend(text.as_bytes());
            out.push(0);
            (2, text.len() as u64 + 1)
        }
        Value::Short(values) => {
            values.iter().for_each(|value| ints.put((*value).into(), 2));
            (3, values.len() as u64)
        }
        Value::Long(value) => {
            ints.put((*value).into(), 4);
            (4, 1)
        }
        Value::Offset(value) if variant.is_big() => {
            ints.put(*value, 8);
            (16, 1)
        }
        Value::Offset(value) => {
            ints.put(*value, 4);
            (4, 1)
        }
        Value::Unit => {
            ints.put(1, 4);
            ints.put(1, 4);
            (5, 1)
        }
    }
}

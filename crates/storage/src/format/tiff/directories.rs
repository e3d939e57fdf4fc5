//! All that comes before the samples: the header and one directory for each page.
//!
//! Whether the file is a classic TIFF or a BigTIFF follows from how long it will be.

use super::directory::{Offsets, Variant, directory_bytes, push_directory, push_header};
use super::layout::Layout;

/// Directories in one piece of the body.
const PIECE: u64 = 256;
/// The samples begin on a multiple of the longest item.
const ALIGNMENT: u64 = 16;

/// Iterates over the pieces.
pub(super) struct Directories {
    layout: Layout,
    variant: Variant,
    /// Lengths of the first directory and of every other.
    first: u64,
    other: u64,
    /// The next page.
    page: u64,
}

impl Directories {
    pub(super) fn new(layout: Layout) -> Self {
        let of = |variant| {
            let first = directory_bytes(&layout, variant, true);
            let other = directory_bytes(&layout, variant, false);
            Self { layout: layout.clone(), variant, first, other, page: 0 }
        };
        let classic = of(Variant::Classic);
        if Variant::Classic.holds(classic.total()) { classic } else { of(Variant::Big) }
    }

    /// Bytes of the whole file.
    pub(super) fn total(&self) -> u64 {
        self.strip(self.layout.pages)
    }

    /// Where the directory of a page begins.
    fn directory(&self, page: u64) -> u64 {
        let before = page.checked_sub(1).map_or(0, |others| self.first + others * self.other);
        self.variant.header_bytes() + before
    }

    /// Where the samples of a page begin.
    fn strip(&self, page: u64) -> u64 {
        self.directory(self.layout.pages).next_multiple_of(ALIGNMENT) + page * self.layout.page_bytes()
    }
}

impl Iterator for Directories {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let (start, end) = (self.page, self.layout.pages.min(self.page + PIECE));
        if start == end {
            return None;
        }
        let mut out = Vec::new();
        if start == 0 {
            push_header(&self.layout, self.variant, &mut out);
        }
        for page in start..end {
            let is_last = page + 1 == self.layout.pages;
            let at = Offsets {
                directory: self.directory(page),
                next: if is_last { 0 } else { self.directory(page + 1) },
                strip: self.strip(page),
            };
            push_directory(&self.layout, self.variant, page == 0, &at, &mut out);
            if is_last {
                let padding = self.strip(0) - self.directory(page + 1);
                out.extend(std::iter::repeat_n(0, padding as usize));
            }
        }
        self.page = end;
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use girih_model::DType;

    use super::*;

    fn directories(shape: &[u64]) -> Directories {
        Directories::new(Layout::of(&DType::of("u1"), shape).unwrap())
    }

    #[test]
    fn long_files_are_big_tiffs() {
        assert_eq!(directories(&[2, (1 << 15) - 1, 1 << 16]).variant, Variant::Classic);
        let big = directories(&[2, 1 << 15, 1 << 16]);
        assert_eq!(big.variant, Variant::Big);
        let (strip, total) = (big.strip(0), big.total());
        assert_eq!(total, strip + (1 << 32));
        let bytes: Vec<u8> = big.flatten().collect();
        assert_eq!(bytes.len() as u64, strip);
        assert_eq!(bytes[..16], *b"II\x2b\0\x08\0\0\0\x10\0\0\0\0\0\0\0");
    }

    #[test]
    fn many_pages_come_in_pieces() {
        let many = directories(&[1000, 2, 2]);
        let strip = many.strip(0);
        let pieces: Vec<_> = many.collect();
        assert_eq!(pieces.len(), 4);
        assert_eq!(pieces.concat().len() as u64, strip);
    }
}

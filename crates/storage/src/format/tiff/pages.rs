//! Directories and samples, one page after another.

use super::directory::{Variant, directory_bytes, push_directory, push_header};
use super::layout::Layout;

/// A file that is being written.
pub(super) struct Pages {
    layout: Layout,
    variant: Variant,
    /// Number of the page that is being written.
    page: u64,
    /// Bytes of it that have been written.
    written: u64,
    /// Booleans of a row that do not fill a byte yet, and how many of the row have come.
    bits: u8,
    column: u32,
}

impl Pages {
    pub(super) fn new(layout: Layout) -> Self {
        let variant = Variant::for_length(end(&layout, Variant::Classic, layout.pages));
        Self { layout, variant, page: 0, written: 0, bits: 0, column: 0 }
    }

    /// Bytes of the whole file.
    pub(super) fn total(&self) -> u64 {
        end(&self.layout, self.variant, self.layout.pages)
    }

    /// Appends what these items add to the file.
    pub(super) fn push(&mut self, mut items: &[u8], out: &mut Vec<u8>) {
        if self.layout.bits == 1 {
            return items.iter().for_each(|item| self.push_bit(*item != 0, out));
        }
        while !items.is_empty() {
            let left = self.layout.page_bytes() - self.written;
            let (now, later) = items.split_at(left.min(items.len() as u64) as usize);
            self.push_samples(now, out);
            items = later;
        }
    }

    fn push_bit(&mut self, bit: bool, out: &mut Vec<u8>) {
        self.bits |= u8::from(bit) << (7 - self.column % 8);
        self.column += 1;
        let ends_row = self.column == self.layout.width;
        if ends_row || self.column.is_multiple_of(8) {
            let byte = std::mem::take(&mut self.bits);
            self.push_samples(&[byte], out);
        }
        if ends_row {
            self.column = 0;
        }
    }

    /// Appends samples that do not reach beyond the page.
    fn push_samples(&mut self, samples: &[u8], out: &mut Vec<u8>) {
        if self.written == 0 {
            self.push_directory(out);
        }
        out.extend(samples);
        self.written += samples.len() as u64;
        if self.written == self.layout.page_bytes() {
            // Directories begin on a word boundary.
            out.extend(std::iter::repeat_n(0, (self.written % 2) as usize));
            self.written = 0;
            self.page += 1;
        }
    }

    fn push_directory(&self, out: &mut Vec<u8>) {
        let Self { layout, variant, page, .. } = self;
        if *page == 0 {
            push_header(layout, *variant, out);
        }
        let start = end(layout, *variant, *page);
        let next = if page + 1 < layout.pages { end(layout, *variant, page + 1) } else { 0 };
        push_directory(layout, *variant, *page == 0, start, next, out);
    }
}

/// Where the first so many pages end; in a file that is too long for any variant, a number that is too large.
fn end(layout: &Layout, variant: Variant, pages: u64) -> u64 {
    if pages == 0 {
        return variant.header_bytes();
    }
    let samples = layout.page_bytes().next_multiple_of(2);
    let first = variant.header_bytes() + directory_bytes(layout, variant, true) + samples;
    let other = directory_bytes(layout, variant, false) + samples;
    first.saturating_add(other.saturating_mul(pages - 1))
}

#[cfg(test)]
mod tests {
    use girih_model::DType;

    use super::*;

    /// Writes only the directories of a file that is too long to be written in a test.
    #[test]
    fn long_files_are_big_tiffs() {
        let layout = |rows| Layout::of(&DType::of("u1"), &[2, rows, 1 << 16]).unwrap();
        assert_eq!(Pages::new(layout((1 << 15) - 1)).variant, Variant::Classic);
        let mut pages = Pages::new(layout(1 << 15));
        assert_eq!(pages.variant, Variant::Big);
        let mut out = Vec::new();
        pages.push(&[1], &mut out);
        assert_eq!(out[..16], *b"II\x2b\0\x08\0\0\0\x10\0\0\0\0\0\0\0");
        let directory = out.len() as u64 - 1;
        assert_eq!(pages.total() - 2 * (1 << 31), directory + directory_bytes(&pages.layout, Variant::Big, false));
        let next = u64::from_le_bytes(out[16 + 8 + 20 * 14..][..8].try_into().unwrap());
        assert_eq!(next, directory + (1 << 31));
    }

    #[test]
    fn any_cut_gives_the_same_file() {
        for (dtype, shape) in [("u1", &[3, 2, 3][..]), ("b1", &[3, 2, 3]), ("u2", &[2, 3, 3])] {
            let dtype = DType::of(dtype);
            let layout = Layout::of(&dtype, shape).unwrap();
            let items: Vec<u8> =
                (0..shape.iter().product::<u64>() as u8 * dtype.itemsize() as u8).map(|n| n % 3).collect();
            let write = |cut: usize| {
                let mut pages = Pages::new(layout.clone());
                let mut out = Vec::new();
                items.chunks(cut * dtype.itemsize()).for_each(|run| pages.push(run, &mut out));
                assert_eq!(out.len() as u64, pages.total());
                out
            };
            assert!((1..10).all(|cut| write(cut) == write(100)), "{dtype}");
        }
    }
}

//! Which pages of a file make its array, and the shape of it: the first series that tifffile tells.
//!
//! The description of the first page may say it: tifffile's own, OME-XML or ImageJ's. Otherwise it is made of the pages
//! that are like the first.

use std::collections::HashSet;
use std::fs::File;
use std::sync::{Arc, LazyLock};

use girih_model::{DType, Result};
use moka::sync::Cache;
use serde_json::Value;

use super::ifd::{Source, damaged};
use super::ome;
use super::page::{Decoding, Page, tag};
use crate::place::file::Stamp;

/// Most pages of a file.
const MAX_PAGES: usize = 1 << 20;
/// About the most pages that are remembered, of all files.
const REMEMBERED: u64 = 1 << 20;

static KNOWN: LazyLock<Cache<Stamp, Arc<Series>>> = LazyLock::new(|| {
    let weigh = |_: &Stamp, series: &Arc<Series>| u32::try_from(series.frames.listed() + 64).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(REMEMBERED).weigher(weigh).build()
});

#[derive(Debug)]
pub(super) struct Series {
    pub(super) page: Page,
    pub(super) decoding: Decoding,
    pub(super) frames: Frames,
    pub(super) shape: Vec<u64>,
    /// Stands for what is missing.
    pub(super) missing: Vec<u8>,
}

/// Where the pages are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frames {
    /// The items of all, one after another, behind one directory.
    Stack { at: u64, count: u64 },
    /// The items of each.
    Items(Vec<u64>),
    /// The directory of each; zero for one that is not there.
    Directories(Vec<u64>),
}

impl Frames {
    fn listed(&self) -> usize {
        match self {
            Self::Stack { .. } => 0,
            Self::Items(all) | Self::Directories(all) => all.len(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Stack { count, .. } => *count,
            _ => self.listed() as u64,
        }
    }
}

impl Series {
    /// # Errors
    /// `Damaged` for a file that ends too early, `Unsupported` for samples that are not read.
    pub(super) fn of(file: &Arc<File>, name: &str) -> Result<Arc<Self>> {
        let stamp = Stamp::of(file);
        if let Some(series) = stamp.and_then(|stamp| KNOWN.get(&stamp)) {
            return Ok(series);
        }
        let series = Arc::new(find(&Source::open(file.clone())?, name)?);
        if let Some(stamp) = stamp {
            KNOWN.insert(stamp, series.clone());
        }
        Ok(series)
    }

    pub(super) fn dtype(&self) -> &DType {
        &self.decoding.samples.dtype
    }

    /// The pages as one axis, as they lie in the file.
    pub(super) fn natural(&self) -> Vec<u64> {
        [vec![self.frames.count()], self.page.shape()].concat()
    }
}

/// A page, as it is come by.
struct Seen {
    directory: u64,
    /// Like the first one.
    is_alike: bool,
    /// Where its items lie, if they do so as they are.
    items: Option<u64>,
}

fn find(source: &Source, name: &str) -> Result<Series> {
    let first = source.directory(source.header.first)?;
    let page = Page::of(&first, source.header.is_little)?;
    let decoding = page.decoding()?;
    let pages = walk(source, &page, &decoding)?;
    let nbytes = page.nbytes(&decoding.samples.dtype).ok_or_else(|| damaged(&"a page is too large"))?;
    let file = Pages { page: &page, nbytes, len: source.len(), pages: &pages };
    let descriptions = first.texts(tag::DESCRIPTION)?;
    let (frames, shape) = file.described(&descriptions, name).unwrap_or_else(|| file.alike());
    let no_data = first.texts(tag::NO_DATA)?;
    let missing = decoding.samples.missing(no_data.first().map(String::as_str));
    Ok(Series { page, decoding, frames, shape, missing })
}

/// Every page of the file, with what must be known of it.
fn walk(source: &Source, first: &Page, decoding: &Decoding) -> Result<Vec<Seen>> {
    let (mut pages, mut places, mut next) = (Vec::new(), HashSet::new(), source.header.first);
    while next != 0 {
        if !places.insert(next) {
            return Err(damaged(&"its pages follow one another in a circle"));
        }
        if pages.len() == MAX_PAGES {
            return Err(damaged(&format!("it has more than {MAX_PAGES} pages")));
        }
        let directory = source.directory(next)?;
        // One that cannot be read is no part of the array.
        let is_alike = Page::of(&directory, source.header.is_little).is_ok_and(|page| page == *first);
        let items = if is_alike { first.contiguous(&directory, decoding)? } else { None };
        pages.push(Seen { directory: next, is_alike, items });
        next = directory.next;
    }
    Ok(pages)
}

/// The pages of a file, as its description is read.
struct Pages<'a> {
    page: &'a Page,
    /// Of the items of a page.
    nbytes: u64,
    /// Of the file.
    len: u64,
    pages: &'a [Seen],
}

type Found = Option<(Frames, Vec<u64>)>;

impl Pages<'_> {
    /// These, by the places of their items if all have such.
    fn listed(&self, pages: &[&Seen]) -> Frames {
        match pages.iter().map(|page| page.items).collect() {
            Some(items) => Frames::Items(items),
            None => Frames::Directories(pages.iter().map(|page| page.directory).collect()),
        }
    }

    /// As many pages from the first on.
    fn leading(&self, count: u64) -> Option<Frames> {
        let pages = self.pages.get(..usize::try_from(count).ok()?)?;
        Some(self.listed(&pages.iter().collect::<Vec<_>>()))
    }

    /// So many behind the first directory, unless another one lies among them.
    fn stack(&self, count: u64) -> Option<Frames> {
        let at = self.pages[0].items?;
        let all = at..at.checked_add(count.checked_mul(self.nbytes)?)?;
        let is_free = !self.pages.iter().take(2).any(|page| all.contains(&page.directory));
        is_free.then_some(Frames::Stack { at, count })
    }

    fn described(&self, descriptions: &[String], name: &str) -> Found {
        if let Some(told) = descriptions.iter().find_map(|text| shaped(text)) {
            return self.told(&told);
        }
        let xml = descriptions.first().filter(|text| text.ends_with("OME>"));
        let imagej = descriptions.iter().find(|text| is_imagej(text));
        xml.and_then(|xml| self.ome(xml, name)).or_else(|| self.imagej(imagej?))
    }

    /// All pages that are like the first.
    fn alike(&self) -> (Frames, Vec<u64>) {
        let pages: Vec<&Seen> = self.pages.iter().filter(|page| page.is_alike).collect();
        let axes = [vec![('I', pages.len() as u64)], self.page.axes()].concat();
        (self.listed(&pages), squeezed(&axes))
    }

    /// tifffile's own description: the shape, of pages or of what lies behind the first.
    fn told(&self, told: &Told) -> Found {
        let own = self.page.shape();
        let (all, one) = (product(&told.shape)?, product(&own)?);
        if all == 0 || all % one != 0 {
            return None;
        }
        let count = all / one;
        let is_stack = count > 1 && (told.is_truncated || count > self.pages.len() as u64);
        let stack = if is_stack { self.stack(count) } else { None };
        Some((stack.or_else(|| self.leading(count))?, told.shape.clone()))
    }

    fn ome(&self, xml: &str, name: &str) -> Found {
        let own = self.page.shape();
        for image in ome::images(xml, name)? {
            let (mut axes, samples) = (image.axes, image.samples);
            let Some(leading) = axes.len().checked_sub(2) else { continue };
            let (mut places, mut all) = (Vec::new(), 0u64);
            for block in image.blocks {
                let count = block.count.unwrap_or(self.pages.len() as u64);
                let end = block.position.checked_add(count)?;
                all = all.saturating_add(count);
                if end.max(all) > MAX_PAGES as u64 {
                    return None;
                }
                places.resize(places.len().max(end as usize), None);
                for n in 0..count {
                    let Some(page) = self.pages.get(usize::try_from(block.directory.checked_add(n)?).ok()?) else {
                        break;
                    };
                    places[(block.position + n) as usize] = Some(page);
                }
            }
            let Some(key) = places.iter().flatten().next() else { continue };
            if !key.is_alike {
                // Another image comes first.
                return None;
            }
            match samples {
                0 | 1 => {}
                _ if self.page.is_planar => axes.insert(leading, ('S', samples)),
                _ => axes.push(('S', samples)),
            }
            let shape = squeezed(&axes);
            let count = (product(&shape)? / product(&own)?).max(1);
            if !shape.ends_with(&own) || count > MAX_PAGES as u64 {
                continue;
            }
            places.resize(count as usize, None);
            let there: Option<Vec<&Seen>> = places.iter().copied().collect();
            let frames = match there {
                Some(pages) => self.listed(&pages),
                None => Frames::Directories(places.iter().map(|page| page.map_or(0, |page| page.directory)).collect()),
            };
            return Some((frames, shape));
        }
        None
    }

    fn imagej(&self, description: &str) -> Found {
        let told = |key: &str| {
            let lines = description.lines().rev().filter_map(|line| line.split_once('='));
            lines
                .map(|(name, value)| (name.trim(), value.trim()))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value)
        };
        let number = |key| told(key).map_or(Some(1), |value| value.parse::<u64>().ok().filter(|number| *number > 0));
        let (frames, slices, mut channels) = (number("frames")?, number("slices")?, number("channels")?);
        number("images")?;
        let (planes, samples) = match self.page.is_planar {
            true => (self.page.samples, 1),
            false => (1, self.page.samples),
        };
        let mut images = frames.checked_mul(slices)?;
        if channels == 1 || (planes > 1 && planes == channels) {
            // Samples that lie apart are the channels.
        } else if samples == channels && told("images").map_or(1, |value| value.parse().unwrap_or(1)) == images {
            // So are those side by side.
            channels = 1;
        } else {
            images = images.checked_mul(channels)?;
        }
        let there = self.pages.len() as u64;
        if images == 1 && there > 1 {
            images = there;
        }
        let total = images.checked_mul(self.nbytes)?;
        let frames_of = match self.pages[0].items {
            None => self.leading(there)?,
            Some(at) if at.checked_add(total)? > self.len => return None,
            Some(at) if images > 1 && there > 1 && at + total > self.pages[1].directory => self.leading(there)?,
            Some(_) => self.stack(images)?,
        };
        let (t, z, c) = (('T', frames), ('Z', slices), ('C', channels));
        let mut axes = match told("order").unwrap_or("czt").to_lowercase().as_str() {
            "ctz" => vec![z, t, c],
            "zct" => vec![t, c, z],
            "ztc" => vec![c, t, z],
            "tcz" => vec![z, c, t],
            "tzc" => vec![c, z, t],
            _ => vec![t, z, c],
        };
        let remain = images / axes.iter().try_fold(1u64, |all, (_, len)| all.checked_mul(*len))?;
        if remain > 1 {
            axes.insert(0, ('I', remain));
        }
        if planes > 1 {
            axes.pop();
        }
        axes.extend(self.page.axes());
        let shape = squeezed(&axes);
        // Fewer or more pages than it says: the shape that they have.
        let whole = frames_of.count().checked_mul(product(&self.page.shape())?)?;
        if product(&shape)? == whole { Some((frames_of, shape)) } else { None }
    }
}

fn product(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |all, len| all.checked_mul(*len))
}

/// Without axes of one position, but for those of a plane.
fn squeezed(axes: &[(char, u64)]) -> Vec<u64> {
    axes.iter().filter(|(axis, len)| *len > 1 || matches!(axis, 'X' | 'Y')).map(|(_, len)| *len).collect()
}

/// What tifffile's description says.
struct Told {
    shape: Vec<u64>,
    is_truncated: bool,
}

fn shaped(description: &str) -> Option<Told> {
    if let Some(list) = description.strip_prefix("shape=") {
        let list = list.trim_matches(['(', ')']).split(',').map(str::trim).filter(|len| !len.is_empty());
        return Some(Told { shape: list.map(|len| len.parse().ok()).collect::<Option<_>>()?, is_truncated: false });
    }
    if !description.starts_with('{') || !description.contains("\"shape\":") {
        return None;
    }
    let told: Value = serde_json::from_str(description).ok()?;
    let shape = told.get("shape")?.as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
    Some(Told { shape, is_truncated: told.get("truncated").and_then(Value::as_bool).unwrap_or(false) })
}

fn is_imagej(description: &str) -> bool {
    description.starts_with("ImageJ=") || description.starts_with("SCIFIO=")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of one strip each, so many rows of 4 bytes, each behind its directory; then so many bytes more.
    fn find_in(pages: &[(u64, &str)], behind: usize) -> Result<Series> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        for (n, (height, description)) in pages.iter().enumerate() {
            let text = bytes.len() as u32 + 2 + 7 * 12 + 4;
            let (rows, len) = (*height as u32, description.len() as u32 + 8);
            let (strip, next) = (text + len, text + len + 4 * rows);
            let tags = [(256, 4, 1, 4), (257, 4, 1, rows), (258, 4, 1, 8), (270, 2, len, text), (273, 4, 1, strip)];
            bytes.extend_from_slice(&7u16.to_le_bytes());
            for (tag, kind, count, value) in tags.into_iter().chain([(278, 4, 1, rows), (279, 4, 1, 4 * rows)]) {
                bytes.extend_from_slice(&u16::to_le_bytes(tag));
                bytes.extend_from_slice(&u16::to_le_bytes(kind));
                bytes.extend_from_slice(&u32::to_le_bytes(count));
                bytes.extend_from_slice(&u32::to_le_bytes(value));
            }
            bytes.extend_from_slice(&if n + 1 == pages.len() { 0 } else { next }.to_le_bytes());
            bytes.extend_from_slice(description.as_bytes());
            bytes.extend(vec![0; 8 + 4 * *height as usize]);
        }
        bytes.extend(vec![7; behind]);
        let temp = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(temp.path(), bytes).unwrap();
        find(&Source::open(Arc::new(File::open(temp.path()).unwrap()))?, "a.tif")
    }

    fn check(pages: &[(u64, &str)], behind: usize, shape: &[u64], is_stack: bool) {
        let series = find_in(pages, behind).unwrap();
        assert_eq!(series.shape, shape, "{pages:?}");
        assert_eq!(matches!(series.frames, Frames::Stack { .. }), is_stack, "{pages:?}");
    }

    #[test]
    fn pages_that_are_like_the_first_are_the_array() {
        check(&[(2, "")], 0, &[2, 4], false);
        check(&[(2, ""), (3, ""), (2, "")], 0, &[2, 2, 4], false);
        assert_eq!(find_in(&[(2, ""), (3, ""), (2, "")], 0).unwrap().frames.count(), 2);
    }

    #[test]
    fn a_description_tells_the_shape() {
        check(&[(2, r#"{"shape": [8]}"#)], 0, &[8], false);
        check(&[(2, r#"{"shape": [1, 3, 2, 4]}"#)], 99, &[1, 3, 2, 4], true);
        check(&[(2, "shape=(3, 2, 4)")], 99, &[3, 2, 4], true);
        // Pages that are still to come, where others have come already.
        check(&[(2, r#"{"shape": [3, 2, 4]}"#), (2, "")], 0, &[2, 2, 4], false);
        check(&[(2, r#"{"shape": [2, 2, 4]}"#), (2, ""), (2, "")], 0, &[2, 2, 4], false);
        check(&[(2, r#"{"shape": [5]}"#)], 0, &[2, 4], false);
        check(&[(2, r#"{"shape": [0, 2, 4]}"#)], 0, &[2, 4], false);
        check(&[(2, r#"{"shape": [18446744073709551615, 2, 4]}"#)], 0, &[2, 4], false);
    }

    #[test]
    fn hyperstacks_of_imagej() {
        check(&[(2, "ImageJ=1.5\nimages=6\nchannels=3\nslices=2")], 99, &[2, 3, 2, 4], true);
        check(&[(2, "ImageJ=1.5\nimages=6\nchannels=3\nslices=2\norder=zct")], 99, &[3, 2, 2, 4], true);
        check(&[(2, "ImageJ=1.5\nimages=6\nchannels=3\nslices=2")], 9, &[2, 4], false);
        check(&[(2, "ImageJ=1.5\nimages=2\nframes=2"), (2, "")], 0, &[2, 2, 4], false);
        check(&[(2, "ImageJ=1.5\nslices=0"), (2, "")], 0, &[2, 2, 4], false);
    }

    #[test]
    fn pages_that_ome_leaves_out_are_missing() {
        let xml = r#"<OME><Pixels DimensionOrder="XYZCT" SizeX="4" SizeY="2" SizeZ="3" SizeC="1" SizeT="1"><Channel/>
            <TiffData FirstZ="2" IFD="0"/><TiffData FirstZ="0" IFD="1"/></Pixels></OME>"#;
        check(&[(2, xml), (2, "")], 0, &[3, 2, 4], false);
        let series = find_in(&[(2, xml), (2, "")], 0).unwrap();
        assert!(matches!(series.frames, Frames::Directories(all) if all[1] == 0 && all[0] > all[2]));
    }
}

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

use super::ifd::{Directory, Source, damaged};
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
    /// `Busy` for a file that ends too early and may still be written, `Unsupported` for samples that are not read.
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
    let file = Pages { first: &first, page: &page, nbytes, len: source.len(), pages: &pages };
    let descriptions = first.texts(tag::DESCRIPTION)?;
    let (frames, shape) = match descriptions.iter().find_map(|text| shaped(text)) {
        Some(told) => file.told(&told),
        None => match descriptions.first().filter(|text| text.ends_with("OME>")) {
            Some(xml) => file.ome(xml, name),
            None => None,
        }
        .or_else(|| descriptions.iter().find(|text| is_imagej(text)).and_then(|text| file.imagej(text))),
    }
    .unwrap_or_else(|| file.alike());
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
    first: &'a Directory<'a>,
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

    /// So many behind the first directory.
    fn stack(&self, count: u64) -> Option<Frames> {
        self.pages[0].items.map(|at| Frames::Stack { at, count })
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
        let end = |at: u64| count.checked_mul(self.nbytes)?.checked_add(at);
        // Whether another directory comes only after all that would be behind the first.
        let is_alone = match (self.pages.get(1), self.pages[0].items) {
            (Some(second), Some(at)) => end(at)? <= second.directory && !self.first.has(tag::SUB_DIRECTORIES),
            _ => true,
        };
        let stack = if count > 1 && (told.is_truncated || is_alone) { self.stack(count) } else { None };
        Some((stack.or_else(|| self.leading(count))?, told.shape.clone()))
    }

    fn ome(&self, xml: &str, name: &str) -> Found {
        let own = self.page.shape();
        for image in ome::images(xml, name)? {
            let (mut axes, samples) = (image.axes, image.samples);
            let Some(leading) = axes.len().checked_sub(2) else { continue };
            let mut places = Vec::new();
            for block in image.blocks {
                let count = block.count.unwrap_or(self.pages.len() as u64);
                if block.position.checked_add(count)? > MAX_PAGES as u64 {
                    return None;
                }
                places.resize((block.position + count) as usize, None);
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

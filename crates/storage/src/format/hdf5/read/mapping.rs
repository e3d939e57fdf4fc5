//! Where the items of a virtual dataset come from ("HDF5 File Format Specification", III.H and VIII.C): parts of it are
//! parts of other datasets.

use girih_model::{Error, Result};
use hdf5_reader::Hdf5File;
use hdf5_reader::global_heap::GlobalHeapCollection;
use hdf5_reader::io::Cursor;

use super::super::storage::damaged;

/// Most mappings of a dataset, also those that a pattern of names stands for.
const MAX_MAPPINGS: usize = 1 << 18;
/// Most stretches of an axis.
const MAX_STRETCHES: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    /// `.` for the file itself.
    pub(super) file: String,
    pub(super) dataset: String,
    /// Both have as many items; of the source, `None` is all of it.
    pub(super) source: Option<Vec<Positions>>,
    pub(super) target: Option<Vec<Positions>>,
}

/// Stretches of an axis: `block` positions at `start`, `start + stride`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Positions {
    pub(super) start: u64,
    pub(super) stride: u64,
    /// `u64::MAX` for as many as fit.
    pub(super) count: u64,
    pub(super) block: u64,
}

/// The mappings that a layout message refers to.
pub(super) fn of_layout(file: &Hdf5File, layout: &[u8]) -> Result<Vec<Mapping>> {
    let superblock = file.superblock();
    let mut cursor = Cursor::new(layout);
    let mut header = || -> hdf5_reader::error::Result<(u64, u32)> {
        cursor.skip(2)?;
        Ok((cursor.read_offset(superblock.offset_size)?, cursor.read_u32_le()?))
    };
    let (address, number) = header().map_err(damaged)?;
    if Cursor::is_undefined_offset(address, superblock.offset_size) {
        return Ok(Vec::new());
    }
    let heap =
        GlobalHeapCollection::parse_at_storage(file.storage(), address, superblock.offset_size, superblock.length_size);
    let heap = heap.map_err(damaged)?;
    let object = u16::try_from(number).ok().and_then(|number| heap.get_object(number));
    parse(&object.ok_or_else(|| damaged("the mappings of a virtual dataset are missing"))?.data, superblock.length_size)
}

fn parse(block: &[u8], length_size: u8) -> Result<Vec<Mapping>> {
    let mut cursor = Cursor::new(block);
    let version = cursor.read_u8().map_err(damaged)?;
    if version > 1 {
        return Err(Error::unsupported(format!("Virtual datasets of version {version} are not read.")));
    }
    let count = cursor.read_length(length_size).map_err(damaged)?;
    if count > MAX_MAPPINGS as u64 {
        return Err(damaged(format!("a virtual dataset has {count} parts")));
    }
    let mut mappings: Vec<Mapping> = Vec::new();
    for _ in 0..count {
        let mapping = one(&mut cursor, version, length_size, &mappings)?;
        mappings.push(mapping);
    }
    Ok(mappings)
}

/// Longest name of a file or dataset, in bytes.
const MAX_NAME: usize = 4096;
/// Flags of version 1: a name is that of an earlier mapping, or the file itself.
const SAME_FILE_NAME: u8 = 1;
const SAME_DATASET_NAME: u8 = 2;
const THIS_FILE: u8 = 4;

fn one(cursor: &mut Cursor<'_>, version: u8, length_size: u8, before: &[Mapping]) -> Result<Mapping> {
    let flags = if version == 0 { 0 } else { cursor.read_u8().map_err(damaged)? };
    let mut name = |is_same: bool, of: fn(&Mapping) -> &String| -> Result<String> {
        if !is_same {
            let name = cursor.read_null_terminated_string().map_err(damaged)?;
            return if name.len() <= MAX_NAME { Ok(name) } else { Err(damaged("a name is too long")) };
        }
        let number = cursor.read_length(length_size).map_err(damaged)?;
        let earlier = usize::try_from(number).ok().and_then(|number| before.get(number));
        Ok(of(earlier.ok_or_else(|| damaged("a virtual dataset names a part that it does not have"))?).clone())
    };
    let file = match flags & THIS_FILE {
        0 => name(flags & SAME_FILE_NAME != 0, |mapping| &mapping.file)?,
        _ => ".".to_owned(),
    };
    let dataset = name(flags & SAME_DATASET_NAME != 0, |mapping| &mapping.dataset)?;
    let source = selection(cursor)?;
    let target = selection(cursor)?;
    Ok(Mapping { file, dataset, source, target })
}

/// A selection; `None` for all.
fn selection(cursor: &mut Cursor<'_>) -> Result<Option<Vec<Positions>>> {
    let mut header =
        || -> hdf5_reader::error::Result<(u32, u32)> { Ok((cursor.read_u32_le()?, cursor.read_u32_le()?)) };
    match header().map_err(damaged)? {
        (3, _) => {
            cursor.skip(8).map_err(damaged)?;
            Ok(None)
        }
        (0, _) => {
            cursor.skip(8).map_err(damaged)?;
            Ok(Some(vec![Positions { start: 0, stride: 1, count: 0, block: 1 }]))
        }
        (2, 1) => {
            cursor.skip(8).map_err(damaged)?;
            let rank = cursor.read_u32_le().map_err(damaged)? as usize;
            let count = u64::from(cursor.read_u32_le().map_err(damaged)?);
            blocks(cursor, rank, count, 4).map(Some)
        }
        (2, version @ (2 | 3)) => {
            let flags = cursor.read_u8().map_err(damaged)?;
            let width = match version {
                2 => {
                    cursor.skip(4).map_err(damaged)?;
                    8
                }
                _ => usize::from(cursor.read_u8().map_err(damaged)?),
            };
            let rank = cursor.read_u32_le().map_err(damaged)? as usize;
            if flags & 1 == 0 {
                let count = cursor.read_uvar(width).map_err(damaged)?;
                return blocks(cursor, rank, count, width).map(Some);
            }
            regular(cursor, rank, width).map(Some)
        }
        (1, _) => Err(Error::unsupported("Virtual datasets made of single points are not read.")),
        (kind, version) => Err(damaged(format!("a selection is of the kind {kind}, version {version}"))),
    }
}

fn check_rank(rank: usize) -> Result<()> {
    if (1..=32).contains(&rank) { Ok(()) } else { Err(damaged(format!("a selection has {rank} axes"))) }
}

fn regular(cursor: &mut Cursor<'_>, rank: usize, width: usize) -> Result<Vec<Positions>> {
    check_rank(rank)?;
    let unlimited = u64::MAX >> (64 - 8 * width.clamp(1, 8));
    let mut number = || {
        let number = cursor.read_uvar(width).map_err(damaged)?;
        Ok(if number == unlimited { u64::MAX } else { number })
    };
    let mut axes = Vec::with_capacity(rank);
    for _ in 0..rank {
        let (start, stride, count, block) = (number()?, number()?, number()?, number()?);
        let stride = stride.max(1);
        let blocks = if count == u64::MAX { 1 } else { count };
        let end = blocks.checked_mul(stride).and_then(|len| len.checked_add(start));
        // Blocks without end are one.
        let is_sound = block == u64::MAX && blocks == 1 || (1..=stride).contains(&block) || blocks <= 1;
        if !is_sound || end.is_none() {
            return Err(damaged("a selection overlaps itself or reaches too far"));
        }
        axes.push(Positions { start, stride, count, block });
    }
    Ok(axes)
}

/// A list of boxes, which must be all those of some stretches along each axis.
fn blocks(cursor: &mut Cursor<'_>, rank: usize, count: u64, width: usize) -> Result<Vec<Positions>> {
    check_rank(rank)?;
    let mut stretches: Vec<Vec<(u64, u64)>> = vec![Vec::new(); rank];
    for _ in 0..count {
        let mut corner = || (0..rank).map(|_| cursor.read_uvar(width).map_err(damaged)).collect::<Result<Vec<u64>>>();
        let (starts, ends) = (corner()?, corner()?);
        for (axis, stretch) in stretches.iter_mut().zip(starts.into_iter().zip(ends)) {
            if axis.last() != Some(&stretch) {
                axis.push(stretch);
            }
            if axis.len() > MAX_STRETCHES {
                return Err(damaged("a selection has too many parts"));
            }
        }
    }
    let irregular = || Error::unsupported("Virtual datasets made of irregular parts are not read.");
    let mut all = 1u64;
    let mut axes = Vec::with_capacity(rank);
    for axis in &mut stretches {
        axis.sort_unstable();
        axis.dedup();
        all = all.saturating_mul(axis.len() as u64);
        let (start, end) = *axis.first().ok_or_else(irregular)?;
        let block = end.checked_sub(start).ok_or_else(|| damaged("a part ends before it begins"))?.saturating_add(1);
        let stride = axis.get(1).map_or(block, |next| next.0 - start).max(1);
        let fits = axis.iter().zip(0..).all(|(found, n)| {
            let at = stride.checked_mul(n).and_then(|at| at.checked_add(start));
            at.is_some_and(|at| *found == (at, at.saturating_add(block - 1)))
        });
        if !fits || axis.len() > 1 && block > stride {
            return Err(irregular());
        }
        axes.push(Positions { start, stride, count: axis.len() as u64, block });
    }
    if all == count { Ok(axes) } else { Err(irregular()) }
}

impl Positions {
    pub(super) fn all(len: u64) -> Self {
        Self { start: 0, stride: len.max(1), count: 1, block: len }
    }

    /// As many as there is room for on an axis of this length.
    pub(super) fn within(&self, len: u64) -> Self {
        if self.count == u64::MAX {
            let room = len.saturating_sub(self.start);
            let count = if room == 0 { 0 } else { (room - 1) / self.stride + 1 };
            return Self { count, ..self.clone() };
        }
        if self.block == u64::MAX {
            return Self { block: len.saturating_sub(self.start), ..self.clone() };
        }
        self.clone()
    }

    pub(super) fn len(&self) -> u64 {
        self.count.saturating_mul(self.block)
    }

    /// The n-th position.
    pub(super) fn at(&self, n: u64) -> u64 {
        let block = self.block.max(1);
        self.start + n / block * self.stride + n % block
    }

    /// Which of them, by number, lie from `start` to before `end`.
    pub(super) fn between(&self, start: u64, end: u64) -> std::ops::Range<u64> {
        let before = |position: u64| {
            let Some(offset) = position.checked_sub(self.start) else { return 0 };
            let (whole, within) = (offset / self.stride, offset % self.stride);
            (whole.min(self.count) * self.block + if whole < self.count { within.min(self.block) } else { 0 })
                .min(self.len())
        };
        before(start)..before(end)
    }
}

/// The mappings that a pattern of names stands for: `%b` is the number of the block.
pub(super) fn expanded(mappings: Vec<Mapping>, shape: &[u64]) -> Result<Vec<Mapping>> {
    let mut all = Vec::with_capacity(mappings.len());
    for mapping in mappings {
        let is_pattern = mapping.file.contains("%b") || mapping.dataset.contains("%b");
        let target = mapping.target.clone().unwrap_or_default();
        let Some(axis) = target.iter().position(|axis| axis.count == u64::MAX).filter(|_| is_pattern) else {
            all.push(mapping);
            continue;
        };
        let fitted = target[axis].within(shape.get(axis).copied().unwrap_or_default());
        for n in 0..fitted.count {
            let mut target = target.clone();
            target[axis] = Positions { start: fitted.start + n * fitted.stride, count: 1, ..fitted.clone() };
            let number = n.to_string();
            all.push(Mapping {
                file: mapping.file.replace("%b", &number),
                dataset: mapping.dataset.replace("%b", &number),
                source: mapping.source.clone(),
                target: Some(target),
            });
            if all.len() > MAX_MAPPINGS {
                return Err(damaged("a virtual dataset has too many parts"));
            }
        }
    }
    for mapping in &mut all {
        mapping.file = mapping.file.replace("%%", "%");
        mapping.dataset = mapping.dataset.replace("%%", "%");
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_numbered() {
        let positions = Positions { start: 2, stride: 5, count: 3, block: 2 };
        let all: Vec<u64> = (0..positions.len()).map(|n| positions.at(n)).collect();
        assert_eq!(all, [2, 3, 7, 8, 12, 13]);
        for start in 0..16 {
            for end in start..16 {
                let expected: Vec<u64> = all.iter().copied().filter(|at| (start..end).contains(at)).collect();
                let found: Vec<u64> = positions.between(start, end).map(|n| positions.at(n)).collect();
                assert_eq!(found, expected, "{start}..{end}");
            }
        }
        assert_eq!(Positions { start: 1, stride: 3, count: u64::MAX, block: 1 }.within(8).count, 3);
    }

    #[test]
    fn patterns_stand_for_many() {
        let target = vec![Positions { start: 0, stride: 2, count: u64::MAX, block: 2 }, Positions::all(4)];
        let mapping = Mapping { file: "f-%b.h5".into(), dataset: "d".into(), source: None, target: Some(target) };
        let all = expanded(vec![mapping], &[6, 4]).unwrap();
        assert_eq!(all.iter().map(|one| one.file.as_str()).collect::<Vec<_>>(), ["f-0.h5", "f-1.h5", "f-2.h5"]);
        assert_eq!(all[2].target.as_ref().unwrap()[0], Positions { start: 4, stride: 2, count: 1, block: 2 });
    }
}

//! Markers, and what those before the first scan say (T.81, annex B).

use super::{Colours, Fault, Result};

pub(super) mod marker {
    pub const HUFFMAN: u8 = 0xc4;
    pub const END: u8 = 0xd9;
    pub const SCAN: u8 = 0xda;
    pub const QUANTA: u8 = 0xdb;
    pub const RESTART: u8 = 0xdd;
    pub const JFIF: u8 = 0xe0;
    pub const ADOBE: u8 = 0xee;
}

/// The header of a frame, and the hints at its colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) struct Header {
    pub(in crate::format) width: usize,
    pub(in crate::format) height: usize,
    pub(in crate::format) components: Vec<Component>,
    pub(super) is_progressive: bool,
    pub(in crate::format) has_jfif: bool,
    /// What Adobe's marker says was done to the colours.
    pub(in crate::format) adobe: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) struct Component {
    pub(in crate::format) name: u8,
    /// Samples along each axis for those of the finest one.
    pub(super) across: usize,
    pub(super) down: usize,
    pub(super) quanta: usize,
}

impl Header {
    /// Of a stream that may end after its header.
    pub(in crate::format) fn read(stream: &[u8]) -> Result<Self> {
        let (mut has_jfif, mut adobe, mut frame) = (false, None, None);
        for (marker, body) in segments(stream) {
            match marker {
                marker::SCAN => break,
                marker::JFIF => has_jfif |= body.starts_with(b"JFIF"),
                marker::ADOBE if body.starts_with(b"Adobe") => adobe = body.get(11).copied(),
                0xc0..=0xcf if !matches!(marker, marker::HUFFMAN | 0xc8 | 0xcc) => frame = Some((marker, body)),
                _ => {}
            }
        }
        let (kind, body) = frame.ok_or(Fault::Damaged("a JPEG stream has no header"))?;
        let header = Self::frame(kind, body)?;
        Ok(Self { has_jfif, adobe, ..header })
    }

    fn frame(kind: u8, body: &[u8]) -> Result<Self> {
        let is_progressive = match kind {
            0xc0 | 0xc1 => false,
            0xc2 => true,
            0xc3 => return Err(Fault::Unsupported("JPEG without loss is not read")),
            _ => return Err(Fault::Unsupported("JPEG with hierarchies or arithmetic coding is not read")),
        };
        let [precision, high, low, wide, narrow, count, components @ ..] = body else {
            return Err(Fault::Damaged("the header of a JPEG stream is cut off"));
        };
        if *precision != 8 {
            return Err(Fault::Unsupported("JPEG with other than 8 bits is not read"));
        }
        let components: Vec<Component> = components
            .chunks_exact(3)
            .take((*count).into())
            .map(|component| Component {
                name: component[0],
                across: (component[1] >> 4).into(),
                down: (component[1] & 15).into(),
                quanta: component[2].into(),
            })
            .collect();
        let is_sound = |one: &Component| (1..=4).contains(&one.across) && (1..=4).contains(&one.down) && one.quanta < 4;
        if components.len() != usize::from(*count) || !(1..=4).contains(count) || !components.iter().all(is_sound) {
            return Err(Fault::Damaged("the header of a JPEG stream makes no sense"));
        }
        let (height, width) = (u16::from_be_bytes([*high, *low]).into(), u16::from_be_bytes([*wide, *narrow]).into());
        if width == 0 || height == 0 {
            return Err(Fault::Unsupported("JPEG that does not say its size is not read"));
        }
        Ok(Self { width, height, components, is_progressive, has_jfif: false, adobe: None })
    }

    /// As libjpeg finds it out.
    pub(in crate::format) fn colours(&self) -> Colours {
        let names: Vec<u8> = self.components.iter().map(|component| component.name).collect();
        match (names.len(), self.adobe) {
            (3, Some(0)) if !self.has_jfif => Colours::Plain,
            (3, None) if !self.has_jfif && names == *b"RGB" => Colours::Plain,
            (3, _) => Colours::Light,
            (4, Some(1..)) => Colours::LightAndBlack,
            _ => Colours::Plain,
        }
    }

    /// Samples of the finest component for each unit of the coarsest.
    pub(super) fn finest(&self) -> (usize, usize) {
        let most = |of: fn(&Component) -> usize| self.components.iter().map(of).max().unwrap_or(1);
        (most(|one| one.across), most(|one| one.down))
    }
}

/// The markers that have a body, up to the end or the first that is cut off. What lies between is passed over.
pub(super) fn segments(stream: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (marker, body, next) = segment(stream, at)?;
        at = next;
        Some((marker, body))
    })
}

/// The next marker that has a body, from here on, and where that ends.
pub(super) fn segment(stream: &[u8], mut at: usize) -> Option<(u8, &[u8], usize)> {
    loop {
        match *stream.get(at..at + 2)? {
            [0xff, marker::END] => return None,
            [0xff, 0 | 1 | 0xd0..=0xd8] => at += 2,
            // It may be filled.
            [0xff, 0xff] => at += 1,
            [0xff, marker] => {
                let len = usize::from(u16::from_be_bytes([*stream.get(at + 2)?, *stream.get(at + 3)?]));
                let next = at + 2 + len.max(2);
                return Some((marker, stream.get(at + 4..next)?, next));
            }
            _ => at += 1,
        }
    }
}

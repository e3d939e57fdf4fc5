//! The scans of a stream: from codes to coefficients, block by block (T.81, annexes E, F and G).

use super::entropy::{Bits, Codes};
use super::header::{Header, marker, segment, segments};
use super::transform::inverse;
use super::upsample::Plane;
use super::{Fault, Result};

/// Where the coefficients of a block lie, in the order in which they are coded.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// What is known when a scan begins, and what the scans so far have given.
#[derive(Default)]
pub(super) struct Scans {
    quanta: [Option<[u16; 64]>; 4],
    /// For the first coefficient of a block, and for the others.
    direct: [Option<Codes>; 4],
    other: [Option<Codes>; 4],
    restart: usize,
    parts: Vec<Part>,
}

/// A component: its samples, block by block.
struct Part {
    plane: Plane,
    name: u8,
    /// Blocks of a unit of all components.
    across: usize,
    down: usize,
    /// Blocks within the picture.
    blocks: (usize, usize),
    which: usize,
    /// As they were when the first scan of the component began.
    quanta: Option<[u16; 64]>,
    /// Of a progressive stream, whose scans add to them; others become samples at once.
    coefficients: Vec<[i16; 64]>,
}

/// What a scan holds.
struct Scan {
    /// Which components, and which codes are for each.
    parts: Vec<(usize, usize, usize)>,
    first: usize,
    last: usize,
    /// Bits that come later, and whether some have come already.
    shift: u32,
    is_finer: bool,
}

impl Scans {
    /// Tables that lie in a stream of their own.
    pub(super) fn tables(&mut self, stream: &[u8]) -> Result<()> {
        segments(stream).try_for_each(|(marker, body)| match marker {
            marker::QUANTA | marker::HUFFMAN => self.table(marker, body),
            _ => Ok(()),
        })
    }

    fn table(&mut self, marker: u8, mut body: &[u8]) -> Result<()> {
        const SENSELESS: Fault = Fault::Damaged("a table of a JPEG stream makes no sense");
        match marker {
            marker::QUANTA => {
                while let Some((which, rest)) = body.split_first() {
                    let (wide, which) = (usize::from(which >> 4 != 0), usize::from(which & 15));
                    let numbers = rest.get(..64 << wide).ok_or(SENSELESS)?;
                    let mut quanta = [0; 64];
                    for (at, number) in ZIGZAG.iter().zip(numbers.chunks_exact(1 << wide)) {
                        quanta[usize::from(*at)] = number.iter().fold(0, |n, byte| n << 8 | u16::from(*byte));
                    }
                    *self.quanta.get_mut(which).ok_or(SENSELESS)? = Some(quanta);
                    body = &rest[64 << wide..];
                }
            }
            marker::HUFFMAN => {
                while let Some((which, rest)) = body.split_first() {
                    let counts = rest.get(..16).ok_or(SENSELESS)?;
                    let total = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
                    let values = rest.get(16..16 + total).ok_or(SENSELESS)?;
                    let tables = if which >> 4 == 0 { &mut self.direct } else { &mut self.other };
                    *tables.get_mut(usize::from(which & 15)).ok_or(SENSELESS)? = Some(Codes::new(counts, values)?);
                    body = &rest[16 + total..];
                }
            }
            marker::RESTART => self.restart = body.iter().take(2).fold(0, |n, byte| n << 8 | usize::from(*byte)),
            _ => {}
        }
        Ok(())
    }

    /// All scans of a stream.
    pub(super) fn read(&mut self, stream: &[u8], most: u64) -> Result<Header> {
        let header = Header::read(stream)?;
        self.parts = parts(&header, most)?;
        let (mut at, mut scanned) = (0, false);
        while let Some((marker, body, next)) = segment(stream, at) {
            at = match marker {
                marker::SCAN => {
                    scanned = true;
                    self.scan(&header, body, stream, next)?
                }
                _ => {
                    self.table(marker, body)?;
                    next
                }
            };
        }
        if !scanned || self.parts.iter().any(|part| part.quanta.is_none()) {
            return Err(Fault::Damaged("a JPEG stream is cut off"));
        }
        for part in &mut self.parts {
            let quanta = part.quanta.unwrap_or([0; 64]);
            for (n, block) in std::mem::take(&mut part.coefficients).iter().enumerate() {
                part.put(n, &inverse(block, &quanta));
            }
        }
        Ok(header)
    }

    pub(super) fn planes(&self) -> Vec<&Plane> {
        self.parts.iter().map(|part| &part.plane).collect()
    }

    /// One scan; returns where it ends.
    fn scan(&mut self, header: &Header, body: &[u8], stream: &[u8], at: usize) -> Result<usize> {
        let scan = self.opened(header, body)?;
        let (finest_across, finest_down) = header.finest();
        let units = match scan.parts.as_slice() {
            // Of one component alone, without what is beyond the picture.
            [(n, ..)] => self.parts[*n].blocks,
            _ => (header.width.div_ceil(8 * finest_across), header.height.div_ceil(8 * finest_down)),
        };
        let (mut bits, mut run) = (Bits::new(stream, at), 0);
        let mut before = vec![0; scan.parts.len()];
        for unit in 0..units.0 * units.1 {
            if self.restart > 0 && unit > 0 && unit.is_multiple_of(self.restart) {
                bits.restart()?;
                (run, before) = (0, vec![0; scan.parts.len()]);
            }
            let (column, row) = (unit % units.0, unit / units.0);
            for (part, (n, direct, other)) in scan.parts.iter().enumerate() {
                let tables = (self.direct[*direct].as_ref(), self.other[*other].as_ref());
                let one = &mut self.parts[*n];
                let (across, down) = if scan.parts.len() == 1 { (1, 1) } else { (one.across, one.down) };
                for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
                    let place = (row * down + y) * one.plane.stride / 8 + column * across + x;
                    if header.is_progressive {
                        let block = &mut one.coefficients[place];
                        progressive(&scan, &mut bits, tables, block, &mut before[part], &mut run)?;
                    } else {
                        let block = sequential(&mut bits, tables, &mut before[part])?;
                        let quanta = one.quanta.ok_or(MISSING)?;
                        one.put(place, &inverse(&block, &quanta));
                    }
                }
            }
            // What lies behind the end is not read for long.
            bits.check()?;
        }
        Ok(bits.end())
    }

    fn opened(&mut self, header: &Header, body: &[u8]) -> Result<Scan> {
        const SENSELESS: Fault = Fault::Damaged("a scan of a JPEG stream makes no sense");
        let (count, rest) = body.split_first().ok_or(SENSELESS)?;
        let names = rest.get(..2 * usize::from(*count)).ok_or(SENSELESS)?;
        let [first, last, shifts, ..] = rest[names.len()..] else { return Err(SENSELESS) };
        let mut parts: Vec<(usize, usize, usize)> = Vec::new();
        for name in names.chunks_exact(2) {
            let n = self.parts.iter().position(|part| part.name == name[0]).ok_or(SENSELESS)?;
            let (direct, other) = (usize::from(name[1] >> 4), usize::from(name[1] & 15));
            if direct > 3 || other > 3 || parts.iter().any(|(known, ..)| *known == n) {
                return Err(SENSELESS);
            }
            let part = &mut self.parts[n];
            part.quanta = part.quanta.or(self.quanta[part.which]);
            if part.quanta.is_none() {
                return Err(MISSING);
            }
            parts.push((n, direct, other));
        }
        let (first, last) = if header.is_progressive { (first.into(), last.into()) } else { (0, 63) };
        let (shift, is_finer) = (u32::from(shifts & 15), shifts >> 4 != 0);
        let is_sound = first <= last && last < 64 && shift < 14 && (first == 0 || parts.len() == 1);
        if parts.is_empty() || !is_sound || header.is_progressive && first == 0 && last != 0 {
            return Err(SENSELESS);
        }
        Ok(Scan { parts, first, last, shift, is_finer })
    }
}

const MISSING: Fault = Fault::Damaged("a JPEG stream lacks a table");

fn parts(header: &Header, most: u64) -> Result<Vec<Part>> {
    let (finest_across, finest_down) = header.finest();
    let units = (header.width.div_ceil(8 * finest_across), header.height.div_ceil(8 * finest_down));
    let samples: u64 =
        header.components.iter().map(|one| (units.0 * units.1 * one.across * one.down * 64) as u64).sum();
    if samples > most || (header.width * header.height * header.components.len()) as u64 > most {
        return Err(Fault::Unsupported("a JPEG stream so large is not read"));
    }
    let of = |one: &super::header::Component| {
        if !finest_across.is_multiple_of(one.across) || !finest_down.is_multiple_of(one.down) {
            return Err(Fault::Unsupported("JPEG with colours that are coarser by a fraction is not read"));
        }
        let (stride, lines) = (units.0 * one.across * 8, units.1 * one.down * 8);
        let width = (header.width * one.across).div_ceil(finest_across);
        let height = (header.height * one.down).div_ceil(finest_down);
        let (across, down) = (finest_across / one.across, finest_down / one.down);
        Ok(Part {
            plane: Plane { samples: vec![0; stride * lines], stride, width, height, across, down },
            name: one.name,
            across: one.across,
            down: one.down,
            blocks: (width.div_ceil(8), height.div_ceil(8)),
            which: one.quanta,
            quanta: None,
            coefficients: if header.is_progressive { vec![[0; 64]; stride * lines / 64] } else { Vec::new() },
        })
    };
    header.components.iter().map(of).collect()
}

impl Part {
    /// The samples of a block, counted row by row.
    fn put(&mut self, n: usize, samples: &[u8; 64]) {
        let stride = self.plane.stride;
        let (column, row) = (n % (stride / 8), n / (stride / 8));
        for (y, line) in samples.chunks_exact(8).enumerate() {
            self.plane.samples[(row * 8 + y) * stride + column * 8..][..8].copy_from_slice(line);
        }
    }
}

type Tables<'a> = (Option<&'a Codes>, Option<&'a Codes>);

fn difference(bits: &mut Bits, direct: Option<&Codes>) -> Result<i32> {
    let len = direct.ok_or(MISSING)?.next(bits)?;
    if len > 15 {
        return Err(Fault::Damaged("a JPEG stream has an unknown code"));
    }
    Ok(bits.signed(len.into()))
}

fn sequential(bits: &mut Bits, (direct, other): Tables, before: &mut i32) -> Result<[i16; 64]> {
    let mut block = [0; 64];
    *before = before.wrapping_add(difference(bits, direct)?);
    block[0] = *before as i16;
    let (other, mut n) = (other.ok_or(MISSING)?, 1);
    while n < 64 {
        let code = other.next(bits)?;
        match (usize::from(code >> 4), u32::from(code & 15)) {
            (15, 0) => n += 16,
            (_, 0) => break,
            (zeros, len) => {
                let at = ZIGZAG.get(n + zeros).ok_or(Fault::Damaged("a JPEG stream has too many coefficients"))?;
                block[usize::from(*at)] = bits.signed(len) as i16;
                n += zeros + 1;
            }
        }
    }
    Ok(block)
}

/// What a scan adds to a block; `run` blocks that follow have nothing but bits to be made finer.
fn progressive(
    scan: &Scan,
    bits: &mut Bits,
    (direct, other): Tables,
    block: &mut [i16; 64],
    before: &mut i32,
    run: &mut u32,
) -> Result<()> {
    if scan.first == 0 {
        if scan.is_finer {
            block[0] |= (bits.take(1) << scan.shift) as i16;
        } else {
            *before = before.wrapping_add(difference(bits, direct)?);
            block[0] = (*before << scan.shift) as i16;
        }
        return Ok(());
    }
    let other = other.ok_or(MISSING)?;
    let one = 1i16 << scan.shift;
    let mut n = scan.first;
    while *run == 0 && n <= scan.last {
        let code = other.next(bits)?;
        let (mut zeros, len) = (usize::from(code >> 4), u32::from(code & 15));
        let value = match len {
            0 if zeros < 15 => {
                *run = (1 << zeros) + bits.take(zeros as u32) as u32;
                break;
            }
            0 => 0,
            _ if scan.is_finer => {
                if bits.take(1) == 1 {
                    one
                } else {
                    -one
                }
            }
            _ => (bits.signed(len) << scan.shift) as i16,
        };
        // So many that are still nothing are passed over; those that are something become finer on the way.
        while n <= scan.last {
            let coefficient = &mut block[usize::from(ZIGZAG[n])];
            n += 1;
            if scan.is_finer && *coefficient != 0 {
                refine(bits, coefficient, one);
            } else if zeros > 0 {
                zeros -= 1;
            } else {
                *coefficient = value;
                break;
            }
        }
    }
    if *run > 0 {
        *run -= 1;
        if scan.is_finer {
            for at in &ZIGZAG[n..=scan.last] {
                refine(bits, &mut block[usize::from(*at)], one);
            }
        }
    }
    Ok(())
}

fn refine(bits: &mut Bits, coefficient: &mut i16, one: i16) {
    if *coefficient != 0 && bits.take(1) == 1 && *coefficient & one == 0 {
        *coefficient = coefficient.wrapping_add(if *coefficient > 0 { one } else { -one });
    }
}

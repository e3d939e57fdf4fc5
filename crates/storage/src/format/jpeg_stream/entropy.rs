//! Bits, and the codes in them (T.81, annexes C and F).

use super::{Fault, Result};

/// The bits between two markers.
pub(super) struct Bits<'a> {
    stream: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
    /// Bits that were asked for behind the end.
    lent: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(stream: &'a [u8], at: usize) -> Self {
        Self { stream, at, held: 0, count: 0, lent: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match (self.stream.get(self.at), self.stream.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                // A marker, or the end.
                (Some(0xff) | None, _) => {
                    self.lent += 8;
                    0
                }
                (Some(byte), _) => {
                    self.at += 1;
                    *byte
                }
            };
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    fn peek(&mut self, bits: u32) -> usize {
        if self.count < bits {
            self.fill();
        }
        (self.held >> (self.count - bits)) as usize & ((1 << bits) - 1)
    }

    /// Up to 16.
    pub(super) fn take(&mut self, bits: u32) -> i32 {
        let value = self.peek(bits) as i32;
        self.count -= bits;
        value
    }

    /// A number of so many bits, whose highest one says that it is not negative.
    pub(super) fn signed(&mut self, bits: u32) -> i32 {
        if bits == 0 {
            return 0;
        }
        let value = self.take(bits);
        if value < 1 << (bits - 1) { value - (1 << bits) + 1 } else { value }
    }

    /// Goes on behind the mark that comes next.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.check()?;
        let (mut at, stream) = (self.at, self.stream);
        while stream.get(at..at + 2) == Some(&[0xff, 0xff]) {
            at += 1;
        }
        match stream.get(at..at + 2) {
            Some([0xff, 0xd0..=0xd7]) => *self = Self::new(stream, at + 2),
            _ => return Err(Fault::Damaged("a JPEG stream lacks a mark")),
        }
        Ok(())
    }

    /// # Errors
    /// When more was taken than there is.
    pub(super) fn check(&self) -> Result<()> {
        if self.lent > self.count { Err(Fault::Damaged("a JPEG stream is cut off")) } else { Ok(()) }
    }

    /// Where the marker behind these bits is looked for.
    pub(super) fn end(&self) -> usize {
        self.at
    }
}

/// Codes that are so short are looked up.
const QUICK: u32 = 9;

/// A table of Huffman codes.
#[derive(Clone)]
pub(super) struct Codes {
    /// Length and value by the next bits; a length of zero is a longer code.
    quick: Vec<(u8, u8)>,
    /// The first code that is too large for each length, left-aligned in 16 bits, and what to add for its value.
    beyond: [u32; 17],
    offset: [i32; 17],
    values: Vec<u8>,
}

impl Codes {
    /// How many codes there are of each length, and the values of all.
    pub(super) fn new(counts: &[u8], values: &[u8]) -> Result<Self> {
        let mut codes =
            Self { quick: vec![(0, 0); 1 << QUICK], beyond: [0; 17], offset: [0; 17], values: values.to_vec() };
        let (mut code, mut n) = (0u32, 0);
        for len in 1..=16u32 {
            let count = u32::from(counts[len as usize - 1]);
            codes.offset[len as usize] = n as i32 - code as i32;
            for value in values.get(n..n + count as usize).unwrap_or_default() {
                if len <= QUICK {
                    let first = (code << (QUICK - len)) as usize;
                    let run = codes.quick.get_mut(first..first + (1 << (QUICK - len)));
                    run.ok_or(Fault::Damaged("a table of a JPEG stream makes no sense"))?.fill((len as u8, *value));
                }
                code += 1;
            }
            n += count as usize;
            if code > 1 << len {
                return Err(Fault::Damaged("a table of a JPEG stream makes no sense"));
            }
            codes.beyond[len as usize] = code << (16 - len);
            code <<= 1;
        }
        Ok(codes)
    }

    pub(super) fn next(&self, bits: &mut Bits) -> Result<u8> {
        let next = bits.peek(16);
        let (len, value) = self.quick[next >> (16 - QUICK)];
        if len > 0 {
            bits.count -= u32::from(len);
            return Ok(value);
        }
        let len = (QUICK as usize + 1..=16).find(|len| (next as u32) < self.beyond[*len]);
        let len = len.ok_or(Fault::Damaged("a JPEG stream has an unknown code"))?;
        bits.count -= len as u32;
        let value = self.values.get(((next >> (16 - len)) as i32 + self.offset[len]) as usize);
        value.copied().ok_or(Fault::Damaged("a JPEG stream has an unknown code"))
    }
}

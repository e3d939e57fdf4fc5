//! Inputs that are nearly right: seeds, changed in a few places. Random bytes would not get past the first check.

use bolero::{TypeGenerator, produce};

/// Which seed, and what is done to it.
#[derive(Debug, Clone, TypeGenerator)]
pub(crate) struct Edits {
    seed: u8,
    #[generator(produce::<Vec<Edit>>().with().len(0usize..=6))]
    edits: Vec<Edit>,
}

/// Positions count round the end.
#[derive(Debug, Clone, TypeGenerator)]
enum Edit {
    Flip {
        at: u16,
        bit: u8,
    },
    Set {
        at: u16,
        byte: u8,
    },
    /// A word of the target's, over what is there.
    Overwrite {
        at: u16,
        word: u8,
    },
    InsertWord {
        at: u16,
        word: u8,
    },
    Insert {
        at: u16,
        #[generator(produce::<Vec<u8>>().with().len(0usize..=16))]
        bytes: Vec<u8>,
    },
    Remove {
        at: u16,
        len: u8,
    },
    /// Bytes from elsewhere, over what is there.
    Copy {
        from: u16,
        to: u16,
        len: u8,
    },
    Cut {
        at: u16,
    },
}

/// Numbers at which arithmetic goes wrong, in the little-endian forms in which binary formats hold them.
pub(crate) const NUMBERS: &[&[u8]] = &[
    &[0; 4],
    &[0xff; 4],
    &[0; 8],
    &[0xff; 8],
    &i32::MAX.to_le_bytes(),
    &i32::MIN.to_le_bytes(),
    &i64::MAX.to_le_bytes(),
    &i64::MIN.to_le_bytes(),
    &i32::MAX.to_be_bytes(),
    &(1_i32 << 30).to_le_bytes(),
    &(1_i64 << 40).to_le_bytes(),
    &1_i32.to_le_bytes(),
    &1_i64.to_le_bytes(),
    // The largest numbers in the variable-length form of Thrift and Protocol Buffers.
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
];

impl Edits {
    /// `words` are what this kind of input is made of; there is at least one, and one seed.
    pub(crate) fn apply(&self, seeds: &[impl AsRef<[u8]>], words: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let mut bytes = seeds[usize::from(self.seed) % seeds.len()].as_ref().to_vec();
        self.edits.iter().for_each(|edit| edit.apply(&mut bytes, words));
        bytes
    }

    /// Like `apply`, for what is text.
    pub(crate) fn text(&self, seeds: &[&str], words: &[&str]) -> String {
        String::from_utf8_lossy(&self.apply(seeds, words)).into_owned()
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>, words: &[impl AsRef<[u8]>]) {
        let place = |at: u16| usize::from(at) % (bytes.len() + 1);
        let end = |start: usize, len: usize| (start + len).min(bytes.len());
        let word = |word: u8| words[usize::from(word) % words.len()].as_ref();
        match self {
            Self::Flip { at, bit } => {
                let at = place(*at);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
            }
            Self::Set { at, byte } => {
                let at = place(*at);
                bytes.iter_mut().skip(at).take(1).for_each(|old| *old = *byte);
            }
            Self::Overwrite { at, word: number } => {
                let (at, word) = (place(*at), word(*number));
                bytes.splice(at..end(at, word.len()), word.iter().copied());
            }
            Self::InsertWord { at, word: number } => {
                let at = place(*at);
                bytes.splice(at..at, word(*number).iter().copied());
            }
            Self::Insert { at, bytes: new } => {
                let at = place(*at);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Remove { at, len } => {
                let at = place(*at);
                bytes.drain(at..end(at, usize::from(*len)));
            }
            Self::Copy { from, to, len } => {
                let (from, to, len) = (place(*from), place(*to), usize::from(*len));
                let copied = bytes[from..end(from, len)].to_vec();
                bytes.splice(to..end(to, copied.len()), copied);
            }
            Self::Cut { at } => {
                let at = place(*at);
                bytes.truncate(at);
            }
        }
    }
}

//! Colour maps: a colour for each brightness.
//!
//! Each map is kept as 33 anchors of `0xRRGGBB`, evenly spaced, between which colours are interpolated; that is at most
//! 3 of 255 levels from the published tables. Sources: viridis, magma, inferno and plasma by N. Smith and S. van der
//! Walt (CC0); turbo by A. Mikhailov, Google; coolwarm after K. Moreland, "Diverging Color Maps for Scientific
//! Visualization" (2009).

use girih_model::{Error, Result};

type Anchors = [u32; 33];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) enum Colours {
    Grey { reversed: bool },
    Map { anchors: &'static Anchors, reversed: bool },
}

/// Every map; each also exists with `_r` at its end, from bright to dark.
const NAMES: [(&str, Option<&Anchors>); 8] = [
    ("gray", None),
    ("grey", None),
    ("viridis", Some(&VIRIDIS)),
    ("magma", Some(&MAGMA)),
    ("inferno", Some(&INFERNO)),
    ("plasma", Some(&PLASMA)),
    ("turbo", Some(&TURBO)),
    ("coolwarm", Some(&COOLWARM)),
];

impl Colours {
    /// # Errors
    /// `Malformed` for an unknown name, listing the known ones.
    pub(super) fn named(name: &str) -> Result<Self> {
        let bare = name.strip_suffix("_r");
        let reversed = bare.is_some();
        let known = NAMES.iter().find(|(known, _)| *known == bare.unwrap_or(name));
        match known {
            Some((_, None)) => Ok(Self::Grey { reversed }),
            Some((_, Some(anchors))) => Ok(Self::Map { anchors, reversed }),
            None => {
                let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
                Err(Error::malformed(format!(
                    "There is no colour map named {name:?}. Choose cmap from {}, or any of them followed by \"_r\".",
                    names.join(", ")
                )))
            }
        }
    }

    /// Red, green and blue for each of 256 brightnesses.
    pub(super) fn table(self) -> Vec<[u8; 3]> {
        let (Self::Grey { reversed } | Self::Map { reversed, .. }) = self;
        let mut table: Vec<[u8; 3]> = match self {
            Self::Grey { .. } => (0..=255).map(|level| [level; 3]).collect(),
            Self::Map { anchors, .. } => (0..256).map(|level| interpolate(anchors, level)).collect(),
        };
        if reversed {
            table.reverse();
        }
        table
    }
}

fn interpolate(anchors: &Anchors, level: usize) -> [u8; 3] {
    let position = level as f64 * (anchors.len() - 1) as f64 / 255.0;
    let (below, above) = (anchors[position.floor() as usize], anchors[position.ceil() as usize]);
    [16, 8, 0].map(|shift| {
        let channel = |colour: u32| f64::from(colour >> shift & 0xff);
        let weight = position.fract();
        (channel(below) * (1.0 - weight) + channel(above) * weight).round() as u8
    })
}

const VIRIDIS: Anchors = [
    0x440154, 0x470d60, 0x48186a, 0x482374, 0x472d7b, 0x453781, 0x424086, 0x3e4989, 0x3b528b, 0x375b8d, 0x33638d,
    0x2f6b8e, 0x2c728e, 0x297a8e, 0x26828e, 0x23898e, 0x21908c, 0x1f978b, 0x1f9f88, 0x21a685, 0x27ad81, 0x31b57b,
    0x3ebc74, 0x4dc26c, 0x5cc863, 0x6ece58, 0x82d34d, 0x95d840, 0xaadc32, 0xc0df25, 0xd5e21a, 0xeae51a, 0xfde725,
];
const MAGMA: Anchors = [
    0x000004, 0x030312, 0x0a0822, 0x130d34, 0x1d1147, 0x29115a, 0x36106b, 0x440f76, 0x50127c, 0x5d177f, 0x691c81,
    0x762181, 0x822681, 0x8f2a81, 0x9c2e7f, 0xa9337d, 0xb6367a, 0xc33b75, 0xcf4070, 0xdb476a, 0xe65164, 0xee5c5e,
    0xf46a5c, 0xf9785d, 0xfb8861, 0xfd9668, 0xfea571, 0xfeb47b, 0xfec287, 0xfed194, 0xfde0a1, 0xfceeb0, 0xfcfdbf,
];
const INFERNO: Anchors = [
    0x000004, 0x040312, 0x0b0724, 0x150b37, 0x210c4a, 0x2f0a5b, 0x3d0965, 0x4a0c6b, 0x56106e, 0x63156e, 0x70196e,
    0x7d1e6d, 0x89226a, 0x962766, 0xa32c61, 0xaf315b, 0xbb3654, 0xc63d4d, 0xd14545, 0xda4f3c, 0xe35932, 0xeb6529,
    0xf1721e, 0xf67f14, 0xf98c0a, 0xfb9b06, 0xfcaa0f, 0xfbba1f, 0xf9c932, 0xf5d949, 0xf2e865, 0xf3f586, 0xfcffa4,
];
const PLASMA: Anchors = [
    0x0d0887, 0x220690, 0x310597, 0x3f049c, 0x4c02a1, 0x5901a5, 0x6600a7, 0x7201a8, 0x7e03a8, 0x8909a5, 0x9511a1,
    0x9f1a9c, 0xa92395, 0xb32c8e, 0xbc3587, 0xc43e7f, 0xcc4678, 0xd25071, 0xd9596a, 0xdf6263, 0xe56b5d, 0xeb7556,
    0xf07f4f, 0xf48a48, 0xf89441, 0xfb9f3a, 0xfdab33, 0xfeb72d, 0xfdc328, 0xfcd025, 0xf9dd25, 0xf5eb27, 0xf0f921,
];
const TURBO: Anchors = [
    0x30123b, 0x392a73, 0x4040a2, 0x4456c7, 0x466be3, 0x4680f6, 0x4293ff, 0x37a7fa, 0x28bbec, 0x1dccd9, 0x18dcc3,
    0x1ee8b0, 0x31f299, 0x4cf97e, 0x6bfe64, 0x8aff4c, 0xa2fc3c, 0xb8f735, 0xcced34, 0xdee037, 0xedd03a, 0xf7c03a,
    0xfdad35, 0xfe982c, 0xfb8022, 0xf56818, 0xec520f, 0xe14109, 0xd23105, 0xc12302, 0xac1701, 0x950d01, 0x7a0403,
];
const COOLWARM: Anchors = [
    0x3b4cc0, 0x445acc, 0x4e68d8, 0x5875e1, 0x6282ea, 0x6c8ff1, 0x779af7, 0x82a6fb, 0x8db0fe, 0x98b9ff, 0xa3c2fe,
    0xaec9fc, 0xb8d0f9, 0xc2d5f4, 0xccd9ed, 0xd5dbe5, 0xdcdcdc, 0xe4d9d2, 0xebd3c6, 0xf1cdb9, 0xf4c5ad, 0xf7bba0,
    0xf7b194, 0xf7a687, 0xf49a7b, 0xf18d6f, 0xec7f63, 0xe57058, 0xde614d, 0xd55042, 0xcb3e38, 0xc0282f, 0xb40426,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: [[u8; 3]; 3]) {
        let table = Colours::named(name).unwrap().table();
        assert_eq!(table.len(), 256);
        for (level, expected) in [0, 100, 255].into_iter().zip(expected) {
            let error = table[level].iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max();
            assert!(error <= Some(3), "{name} {level}: {:?} {expected:?}", table[level]);
        }
    }

    /// Expected colours from matplotlib 3.11.
    #[test]
    fn colours_are_the_published_ones() {
        check("gray", [[0; 3], [100; 3], [255; 3]]);
        check("gray_r", [[255; 3], [155; 3], [0; 3]]);
        check("viridis", [[68, 1, 84], [42, 118, 142], [253, 231, 37]]);
        check("magma", [[0, 0, 4], [137, 40, 129], [252, 253, 191]]);
        check("inferno", [[0, 0, 4], [144, 37, 104], [252, 255, 164]]);
        check("plasma", [[13, 8, 135], [174, 40, 146], [240, 249, 33]]);
        check("turbo", [[48, 18, 59], [63, 246, 138], [122, 4, 3]]);
        check("coolwarm", [[59, 76, 192], [190, 210, 246], [180, 4, 38]]);
        check("viridis_r", [[253, 231, 37], [36, 170, 131], [68, 1, 84]]);
    }
}

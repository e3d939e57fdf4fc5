//! What the datatypes of HDF5 are in NumPy's words, as h5py has them (HDF5 File Format Specification, IV.A.2.d).

use girih_model::dtype::{Endianness, Field, Kind, ScalarType, StructType};
use girih_model::{DType, Error, Result};
use hdf5_reader::error::ByteOrder;
use hdf5_reader::messages::datatype::{CompoundField, Datatype, StringPadding, StringSize, VarLenKind};

use crate::format::gaps::Runs;

/// Deepest nesting of compounds.
const MAX_DEPTH: usize = 16;

/// How the items of a dataset are made of what lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// They are what lies there.
    Plain(DType),
    /// Fields with gaps between them.
    Gaps(DType, Runs),
    /// Texts that end with spaces, as Fortran writes them, where NumPy has NUL.
    Spaces(DType),
    /// Each is a reference to a text of any length.
    Text,
    /// Each is a reference to a list of any length, which no array holds.
    List,
}

impl Item {
    /// # Errors
    /// `Unsupported` for what no array can hold.
    pub(super) fn of(datatype: &Datatype) -> Result<Self> {
        match datatype {
            Datatype::VarLen { kind: VarLenKind::String, .. } | Datatype::String { size: StringSize::Variable, .. } => {
                return Ok(Self::Text);
            }
            Datatype::VarLen { .. } => return Ok(Self::List),
            _ => {}
        }
        let mut runs = Runs::default();
        let dtype = dtype_of(datatype, 0, &mut runs, MAX_DEPTH)?;
        if matches!(datatype, Datatype::String { padding: StringPadding::SpacePad, .. }) && dtype.itemsize() > 0 {
            return Ok(Self::Spaces(dtype));
        }
        let is_plain = runs.are_all(size_of(datatype)) || dtype.itemsize() == 0;
        Ok(if is_plain { Self::Plain(dtype) } else { Self::Gaps(dtype, runs) })
    }
}

/// Bytes of an item in the file.
pub(super) fn size_of(datatype: &Datatype) -> usize {
    match datatype {
        Datatype::FixedPoint { size, .. } | Datatype::FloatingPoint { size, .. } | Datatype::Bitfield { size, .. } => {
            usize::from(*size)
        }
        Datatype::String { size: StringSize::Fixed(size), .. }
        | Datatype::Compound { size, .. }
        | Datatype::Opaque { size, .. } => *size as usize,
        Datatype::Enum { base, .. } => size_of(base),
        Datatype::Array { base, dims } => {
            dims.iter().fold(size_of(base), |size, len| size.saturating_mul(*len as usize))
        }
        Datatype::Reference { size, .. } => usize::from(*size),
        Datatype::String { .. } | Datatype::VarLen { .. } => 16,
    }
}

/// The dtype, and from where in an item its bytes come.
fn dtype_of(datatype: &Datatype, at: usize, runs: &mut Runs, depth: usize) -> Result<DType> {
    let unsupported = |what: &str| Error::unsupported(format!("Datasets of {what} are not read."));
    let depth = depth.checked_sub(1).ok_or_else(|| unsupported("such deeply nested compounds"))?;
    if let Datatype::Compound { fields, size: whole } = datatype {
        let end = at + *whole as usize;
        if let Some(complex) = complex(fields) {
            runs.push(at, complex.itemsize())?;
            return Ok(complex);
        }
        let fields = fields.iter().map(|field| {
            let (inner, shape) = match &field.datatype {
                Datatype::Array { base, dims } => (&**base, Some(dims.iter().map(|len| *len as usize).collect())),
                other => (other, None),
            };
            let (start, size) = (at + field.byte_offset as usize, size_of(inner));
            let within = size_of(&field.datatype).checked_add(start).is_some_and(|last| last <= end);
            let count = if size == 0 || !within { 0 } else { size_of(&field.datatype) / size };
            if count == 0 {
                return Err(unsupported("compounds with fields that are empty or reach beyond them"));
            }
            let mut one = Runs::default();
            let dtype = dtype_of(inner, 0, &mut one, depth)?;
            runs.repeat(&one, start, size, count)?;
            Ok(Field { name: field.name.clone(), dtype, shape })
        });
        let dtype = StructType::packed(fields.collect::<Result<Vec<_>>>()?)?;
        // Fields that overlap would be more than what they are made of.
        if dtype.itemsize() > *whole as usize {
            return Err(unsupported("compounds with fields that overlap"));
        }
        return Ok(DType::Struct(dtype));
    }
    let scalar = |kind, size: usize, order: Option<&ByteOrder>, units: Option<String>| {
        let endianness = match order {
            Some(ByteOrder::BigEndian) => Endianness::Big,
            Some(ByteOrder::LittleEndian) => Endianness::Little,
            None => Endianness::NotApplicable,
        };
        let scalar = ScalarType::new(kind, size, endianness, units);
        scalar.map_err(|_| unsupported(&format!("numbers with {size} bytes")))
    };
    let scalar = match datatype {
        Datatype::FixedPoint { size, signed, byte_order } => {
            let kind = if *signed { Kind::Int } else { Kind::Uint };
            scalar(kind, usize::from(*size), Some(byte_order), None)?
        }
        Datatype::Bitfield { size, byte_order } => scalar(Kind::Uint, usize::from(*size), Some(byte_order), None)?,
        Datatype::FloatingPoint { size, byte_order } if *size <= 8 => {
            scalar(Kind::Float, usize::from(*size), Some(byte_order), None)?
        }
        Datatype::FloatingPoint { size, .. } => {
            return Err(unsupported(&format!("real numbers with {size} bytes (long double)")));
        }
        Datatype::String { size: StringSize::Fixed(size), .. } => scalar(Kind::Bytes, *size as usize, None, None)?,
        Datatype::Enum { members, base } => match members.as_slice() {
            // How h5py writes booleans.
            [no, yes] if no.name == "FALSE" && yes.name == "TRUE" && size_of(base) == 1 => {
                scalar(Kind::Bool, 1, None, None)?
            }
            _ => return dtype_of(base, at, runs, depth),
        },
        Datatype::Opaque { size, tag } => match time(tag) {
            Some(time) if time.itemsize == *size as usize => time,
            _ => scalar(Kind::Void, *size as usize, None, None)?,
        },
        Datatype::Array { .. } => return Err(unsupported("fixed arrays as items")),
        Datatype::Reference { .. } => return Err(unsupported("references to other objects")),
        Datatype::String { .. } | Datatype::VarLen { .. } => {
            return Err(unsupported("compounds with texts or lists of any length"));
        }
        Datatype::Compound { .. } => return Err(unsupported("compounds")),
    };
    runs.push(at, scalar.itemsize)?;
    Ok(DType::Scalar(scalar))
}

/// How h5py writes complex numbers: a compound of `r` and `i`.
fn complex(fields: &[CompoundField]) -> Option<DType> {
    let [re, im] = fields else { return None };
    let (Datatype::FloatingPoint { size, byte_order }, true) = (&re.datatype, re.datatype == im.datatype) else {
        return None;
    };
    let follows = re.byte_offset == 0 && im.byte_offset == u32::from(*size);
    let endianness = if matches!(byte_order, ByteOrder::BigEndian) { Endianness::Big } else { Endianness::Little };
    let scalar = ScalarType::new(Kind::Complex, 2 * usize::from(*size), endianness, None).ok()?;
    (re.name == "r" && im.name == "i" && follows).then_some(DType::Scalar(scalar))
}

/// How h5py writes times: as opaque, with the type as tag, such as `NUMPY:<M8[ns]`.
fn time(tag: &str) -> Option<ScalarType> {
    let text = tag.trim_end_matches('\0').strip_prefix("NUMPY:")?;
    let (order, rest) = text.split_at_checked(1)?;
    let (kind, units) = rest.split_at_checked(2)?;
    let kind = match kind {
        "M8" => Kind::Datetime,
        "m8" => Kind::Timedelta,
        _ => return None,
    };
    let endianness = if order == ">" { Endianness::Big } else { Endianness::Little };
    ScalarType::new(kind, 8, endianness, Some(units.to_owned()).filter(|units| !units.is_empty())).ok()
}

/// Refuses numbers that only look like NumPy's: with fewer bits than their bytes have, or with another exponent.
/// `raw` is the datatype as it is encoded.
pub(super) fn check(raw: &[u8]) -> Result<()> {
    let short = |at: usize| raw.get(at..at + 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let Some((class, size)) = raw.first().map(|first| first & 0xf).zip(raw.get(4..8)) else { return Ok(()) };
    let bits = u32::from_le_bytes([size[0], size[1], size[2], size[3]]).saturating_mul(8);
    let (offset, precision) = (short(8).unwrap_or(0), short(10).unwrap_or(0));
    let odd = u32::from(precision) != bits || offset != 0;
    match class {
        0 if odd => Err(Error::unsupported(format!(
            "Datasets of integers with {precision} bits in {} bytes are not read.",
            bits / 8
        ))),
        1 => {
            let (exponent, mantissa) = (raw.get(13).copied(), raw.get(15).copied());
            let ieee = [(16, 5, 10), (32, 8, 23), (64, 11, 52)];
            if !odd && ieee.iter().any(|(b, e, m)| (bits, exponent, mantissa) == (*b, Some(*e), Some(*m))) {
                return Ok(());
            }
            Err(Error::unsupported(format!(
                "Datasets of real numbers with {precision} bits, of them {} for the exponent, are not read.",
                exponent.unwrap_or_default()
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(size: u8) -> Datatype {
        Datatype::FloatingPoint { size, byte_order: ByteOrder::LittleEndian }
    }

    fn compound(size: u32, fields: &[(&str, u32, Datatype)]) -> Datatype {
        let fields = fields.iter().map(|(name, byte_offset, datatype)| CompoundField {
            name: (*name).to_owned(),
            byte_offset: *byte_offset,
            datatype: datatype.clone(),
        });
        Datatype::Compound { size, fields: fields.collect() }
    }

    fn check_item(datatype: &Datatype, dtype: &str, runs: Option<&[(usize, usize)]>) {
        match (Item::of(datatype).unwrap(), runs) {
            (Item::Plain(found), None) => assert_eq!(found.to_string(), dtype),
            (Item::Gaps(found, found_runs), Some(runs)) => {
                let mut expected = Runs::default();
                runs.iter().for_each(|(at, len)| expected.push(*at, *len).unwrap());
                assert_eq!((found.to_string().as_str(), found_runs), (dtype, expected));
            }
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn compounds_lose_their_gaps() {
        check_item(&float(8), "<f8", None);
        check_item(&compound(16, &[("r", 0, float(8)), ("i", 8, float(8))]), "<c16", None);
        let packed = compound(12, &[("a", 0, float(4)), ("b", 4, float(8))]);
        check_item(&packed, r#"[["a","<f4"],["b","<f8"]]"#, None);
        let padded = compound(24, &[("a", 0, float(4)), ("b", 8, float(8))]);
        check_item(&padded, r#"[["a","<f4"],["b","<f8"]]"#, Some(&[(0, 4), (8, 8)]));
        let array = Datatype::Array { base: Box::new(float(4)), dims: vec![2] };
        let nested = compound(32, &[("p", 0, packed), ("q", 16, array)]);
        check_item(&nested, r#"[["p",[["a","<f4"],["b","<f8"]]],["q","<f4",[2]]]"#, Some(&[(0, 12), (16, 8)]));
    }

    #[test]
    fn times_are_opaque() {
        let time = |tag: &str| Datatype::Opaque { size: 8, tag: tag.into() };
        check_item(&time("NUMPY:<M8[ns]"), "<M8[ns]", None);
        check_item(&time("NUMPY:>m8[10ms]"), ">m8[10ms]", None);
        check_item(&time("other"), "|V8", None);
    }

    #[test]
    fn odd_numbers_are_told() {
        let float = |size: u8, precision: u8, exponent: u8, mantissa: u8| {
            check(&[
                0x11,
                0x20,
                precision - 1,
                0,
                size,
                0,
                0,
                0,
                0,
                0,
                precision,
                0,
                mantissa,
                exponent,
                0,
                mantissa,
                0,
                0,
                0,
                0,
            ])
        };
        assert!(float(4, 32, 8, 23).is_ok() && float(2, 16, 5, 10).is_ok());
        assert!(float(2, 16, 8, 7).unwrap_err().message().contains("16 bits"), "bfloat16");
        let integer = |precision: u8| check(&[0x10, 0, 0, 0, 4, 0, 0, 0, 0, 0, precision, 0]);
        assert!(integer(32).is_ok() && integer(24).is_err());
    }
}

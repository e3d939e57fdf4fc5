//! NumPy's description of a dtype, as `repr` writes it: `'<f8'`, or a list of fields.

use girih_model::dtype::{Endianness, Field, Kind, MAX_ITEMSIZE, ScalarType, StructType};
use girih_model::{DType, Error, Result};

use crate::format::gaps::Runs;

/// Deepest nesting of fields.
const MAX_DEPTH: usize = 16;

/// Items as they lie in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) struct Item {
    /// Without gaps.
    pub(in crate::format) dtype: DType,
    /// With them, in bytes.
    pub(in crate::format) size: usize,
    runs: Runs,
}

impl Item {
    /// Of NumPy's files, whose unnamed fields are gaps: `align=True` has them.
    ///
    /// # Errors
    /// `Unsupported` for dtypes that clients have no word for.
    pub(super) fn of(descr: &str) -> Result<Self> {
        parse(descr, true)
    }

    /// Without gaps.
    pub(in crate::format) fn pack(&self, items: Vec<u8>) -> Vec<u8> {
        if self.runs.are_all(self.size) { items } else { self.runs.pack(&items, self.size) }
    }

    fn scalar(dtype: DType) -> Option<Self> {
        let (mut runs, size) = (Runs::default(), dtype.itemsize());
        runs.push(0, size).ok()?;
        Some(Self { dtype, size, runs })
    }
}

/// A dtype all whose fields are shown.
///
/// # Errors
/// `Unsupported` for dtypes that clients have no word for.
pub(in crate::format) fn dtype_of(descr: &str) -> Result<DType> {
    parse(descr, false).map(|item| item.dtype)
}

fn parse(descr: &str, has_gaps: bool) -> Result<Item> {
    let unknown = || Error::unsupported(format!("Arrays with the dtype {descr} are not read."));
    if !descr.starts_with('[') {
        return scalar(descr).and_then(Item::scalar).ok_or_else(unknown);
    }
    let mut rest = descr;
    let item = fields(&mut rest, has_gaps, MAX_DEPTH).ok_or_else(unknown)?;
    if rest.trim().is_empty() { Ok(item) } else { Err(unknown()) }
}

/// `<f8`, `|S5`, `<M8[ns]`.
fn scalar(text: &str) -> Option<DType> {
    let endianness = match text.chars().next()? {
        '<' => Endianness::Little,
        '>' => Endianness::Big,
        '|' | '=' => Endianness::NotApplicable,
        _ => return None,
    };
    let kind = match text.get(1..2)? {
        "b" => Kind::Bool,
        "i" => Kind::Int,
        "u" => Kind::Uint,
        "f" => Kind::Float,
        "c" => Kind::Complex,
        "m" => Kind::Timedelta,
        "M" => Kind::Datetime,
        "S" => Kind::Bytes,
        "U" => Kind::Text,
        "V" => Kind::Void,
        _ => return None,
    };
    let size = &text[2..];
    let (size, units) = size.find('[').map_or((size, None), |at| (&size[..at], Some(size[at..].to_owned())));
    let size: usize = size.parse().ok()?;
    let itemsize = if kind == Kind::Text { size.checked_mul(4)? } else { size };
    ScalarType::new(kind, itemsize, endianness, units).ok().map(DType::Scalar)
}

/// `[('a', '<f8'), ('b', '<i4', (2, 3)), ('c', [('d', '|u1')])]`.
fn fields(rest: &mut &str, has_gaps: bool, depth: usize) -> Option<Item> {
    expect(rest, "[")?;
    let (mut found, mut runs, mut size) = (Vec::new(), Runs::default(), 0usize);
    while expect(rest, "]").is_none() {
        expect(rest, "(")?;
        let name = match quoted(rest) {
            Some(name) => name,
            // A title and a name.
            None => {
                expect(rest, "(")?;
                quoted(rest)?;
                expect(rest, ",")?;
                let name = quoted(rest)?;
                expect(rest, ")")?;
                name
            }
        };
        expect(rest, ",")?;
        let item = match quoted(rest) {
            Some(text) => Item::scalar(scalar(&text)?)?,
            None => fields(rest, has_gaps, depth.checked_sub(1)?)?,
        };
        let shape = match expect(rest, ",") {
            Some(()) => Some(shape(rest)?),
            None => None,
        };
        expect(rest, ")")?;
        expect(rest, ",");
        let count = shape.iter().flatten().try_fold(1usize, |count, len| count.checked_mul(*len))?;
        let is_gap =
            has_gaps && name.is_empty() && item.dtype.as_scalar().is_some_and(|scalar| scalar.kind == Kind::Void);
        // As NumPy calls them.
        let name = if name.is_empty() { format!("f{}", found.len()) } else { name };
        if !is_gap {
            runs.repeat(&item.runs, size, item.size, count).ok()?;
            found.push(Field { name, dtype: item.dtype, shape });
        }
        size = item.size.checked_mul(count)?.checked_add(size).filter(|size| *size <= MAX_ITEMSIZE)?;
    }
    if found.is_empty() {
        return None;
    }
    Some(Item { dtype: DType::Struct(StructType::packed(found).ok()?), size, runs })
}

fn shape(rest: &mut &str) -> Option<Vec<usize>> {
    let inner = rest.trim_start().strip_prefix('(')?;
    let (inner, after) = inner.split_once(')')?;
    *rest = after;
    inner.split(',').map(str::trim).filter(|len| !len.is_empty()).map(|len| len.parse().ok()).collect()
}

fn expect(rest: &mut &str, what: &str) -> Option<()> {
    *rest = rest.trim_start().strip_prefix(what)?;
    Some(())
}

/// A text in quotes of either kind.
fn quoted(rest: &mut &str) -> Option<String> {
    let text = rest.trim_start();
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (inner, after) = text[1..].split_once(quote)?;
    *rest = after;
    Some(inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `np.dtype([...], align=True)` is written.
    #[test]
    fn unnamed_fields_are_gaps() {
        let given = "[('a', '|i1'), ('', '|V3'), ('b', '<i4'), ('c', [('d', '|u1'), ('', '|V1'), ('e', '<i2')], (2,)), ('', '|V4')]";
        let item = Item::of(given).unwrap();
        assert_eq!(item.dtype.to_string(), r#"[["a","|i1"],["b","<i4"],["c",[["d","|u1"],["e","<i2"]],[2]]]"#);
        assert_eq!((item.size, item.dtype.itemsize()), (20, 11));
        assert_eq!(item.pack((0..20).collect()), [0, 4, 5, 6, 7, 8, 10, 11, 12, 14, 15]);
        let shown = dtype_of(given).unwrap();
        assert_eq!(shown.itemsize(), 20);
        assert!(shown.to_string().starts_with(r#"[["a","|i1"],["f1","|V3"],["b","<i4"]"#), "{shown}");
        assert_eq!(Item::of("<f8").unwrap().pack(vec![1; 8]), [1; 8]);
        assert!(Item::of("[('', '|V3')]").is_err() && Item::of("[('a', '|V9999999'), ('', '|V99999999')]").is_err());
    }

    #[test]
    fn dtypes_of_all_kinds() {
        for descr in ["<f8", ">i2", "|u1", "|b1", "<c16", "|S5", "<U3", "<M8[10ms]", "|V7", "<f2"] {
            assert_eq!(dtype_of(descr).unwrap().to_string(), descr);
        }
        let given = "[('a', '<f8'), ('b', '>i4', (2, 3)), (\"it's\", [('d', '|u1')]), ]";
        let dtype = dtype_of(given).unwrap();
        assert_eq!(dtype.itemsize(), 8 + 24 + 1);
        assert_eq!(dtype.descr().to_string(), r#"[["a","<f8"],["b",">i4",[2,3]],["it's",[["d","|u1"]]]]"#);
        for bad in ["|O", "f8", "<x8", "<f3", "[", "[('a', '|O')]", "[('a' '<f8')]", "[]", "<"] {
            assert!(dtype_of(bad).is_err(), "{bad}");
        }
    }
}

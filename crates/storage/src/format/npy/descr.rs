//! NumPy's description of a dtype, as `repr` writes it: `'<f8'`, or a list of fields.

use girih_model::dtype::{Endianness, Field, Kind, ScalarType, StructType};
use girih_model::{DType, Error, Result};

/// Deepest nesting of fields.
const MAX_DEPTH: usize = 16;

/// # Errors
/// `Unsupported` for dtypes that clients have no word for.
pub(in crate::format) fn dtype_of(descr: &str) -> Result<DType> {
    let unknown = || Error::unsupported(format!("Arrays with the dtype {descr} are not read."));
    if !descr.starts_with('[') {
        return scalar(descr).ok_or_else(unknown);
    }
    let mut rest = descr;
    let dtype = fields(&mut rest, MAX_DEPTH).ok_or_else(unknown)?;
    if rest.trim().is_empty() { Ok(dtype) } else { Err(unknown()) }
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
fn fields(rest: &mut &str, depth: usize) -> Option<DType> {
    expect(rest, "[")?;
    let mut found = Vec::new();
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
        let dtype = match quoted(rest) {
            Some(text) => scalar(&text)?,
            None => fields(rest, depth.checked_sub(1)?)?,
        };
        let shape = match expect(rest, ",") {
            Some(()) => Some(shape(rest)?),
            None => None,
        };
        expect(rest, ")")?;
        expect(rest, ",");
        found.push(Field { name, dtype, shape });
    }
    if found.is_empty() {
        return None;
    }
    StructType::packed(found).ok().map(DType::Struct)
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

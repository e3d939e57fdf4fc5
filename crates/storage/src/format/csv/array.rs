//! Arrays as lines, as `numpy.savetxt(..., fmt="%s", delimiter=",")` writes them.

use girih_model::{ArrayData, ByteStream, DType, Error, Result};

use super::push_field;
use crate::format::conversion::{convert, empty_runs, runs};
use crate::item::{Item, ItemReader};

/// # Errors
/// `NotAcceptable` for more than two axes, and for structured items with two.
pub(super) fn encode(data: ArrayData, media_type: &'static str) -> Result<ByteStream> {
    let most = if matches!(data.dtype, DType::Struct(_)) { 1 } else { 2 };
    if data.shape.len() > most {
        return Err(unfit(&data.shape, media_type));
    }
    let columns = data.shape.get(1).copied().unwrap_or(1);
    if columns == 0 {
        return Ok(convert(empty_runs(&data.shape[..1])?, |run, out: &mut String| {
            out.extend(run.iter().flat_map(|run| run.items()).map(|_| '\n'));
            Ok(())
        }));
    }
    let reader = ItemReader::new(&data.dtype);
    let mut column = 0;
    Ok(convert(runs(data)?, move |run, out: &mut String| {
        for item in run.iter().flat_map(|run| run.items()) {
            push_item(&reader.read(item), out);
            column = (column + 1) % columns;
            out.push(if column == 0 { '\n' } else { ',' });
        }
        Ok(())
    }))
}

fn unfit(shape: &[u64], media_type: &str) -> Error {
    let lengths: Vec<_> = shape.iter().map(u64::to_string).collect();
    Error::not_acceptable(format!(
        "The shape of this data ({}) is incompatible with the requested format ({media_type}). Slice it or choose a different format.",
        lengths.join(", ")
    ))
}

fn push_item(item: &Item<'_>, out: &mut String) {
    match item {
        // NumPy pads complex numbers on the left.
        Item::Complex(..) => {
            out.push(' ');
            item.push_text(out);
        }
        Item::Record(record) => {
            for (n, field) in record.fields().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                push_field(out, |out| field.push_text(out));
            }
        }
        _ => push_field(out, |out| item.push_text(out)),
    }
}

#[cfg(test)]
mod tests {
    use girih_model::ErrorKind;

    use super::*;
    use crate::format::conversion::{block_on, gather};

    fn csv(dtype: DType, shape: &[u64], bytes: &[u8]) -> Result<String> {
        let data = ArrayData::whole(dtype, shape.to_vec(), bytes.to_vec());
        let bytes = block_on(async { gather(encode(data, "text/csv")?).await })?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    fn check(dtype: &str, shape: &[u64], bytes: &[u8], expected: &str) {
        assert_eq!(csv(DType::of(dtype), shape, bytes).unwrap(), expected);
    }

    /// Expected texts written by NumPy's `savetxt`, except that it does not quote.
    #[test]
    fn as_savetxt_writes() {
        check("u1", &[], &[7], "7\n");
        check("u1", &[3], &[1, 2, 3], "1\n2\n3\n");
        check("i1", &[2, 2], &[1, 255, 3, 4], "1,-1\n3,4\n");
        check("b1", &[1, 2], &[0, 1], "False,True\n");
        let numbers: Vec<u8> = [1.0, 2.0, f64::NAN, -0.5].into_iter().flat_map(f64::to_le_bytes).collect();
        check("f8", &[4], &numbers, "1.0\n2.0\nnan\n-0.5\n");
        check("c16", &[1, 2], &numbers, " (1.0+2.0j), (nan-0.5j)\n");
        check("S3", &[2], b"a,\"b\0\0", "\"b'a,\"\"'\"\nb'b'\n");
        check("f8", &[0], &[], "");
        check("f8", &[0, 3], &[], "");
        check("f8", &[2, 0], &[], "\n\n");
    }

    #[test]
    fn fields_of_records_are_columns() {
        let dtype: DType = serde_json::from_str(
            r#"{"itemsize":4,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":1}},
                {"name":"b","dtype":{"kind":"u","itemsize":1},"shape":[2]},{"name":"c","dtype":{"kind":"b","itemsize":1}}]}"#,
        )
        .unwrap();
        assert_eq!(
            csv(dtype.clone(), &[2], &[255, 1, 2, 0, 5, 3, 4, 1]).unwrap(),
            "-1,\"[1,2]\",False\n5,\"[3,4]\",True\n"
        );
        assert_eq!(csv(dtype, &[1, 1], &[0; 4]).unwrap_err().kind(), ErrorKind::NotAcceptable);
    }

    #[test]
    fn three_axes_do_not_fit() {
        let error = csv(DType::of("u1"), &[1, 2, 3], &[0; 6]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAcceptable);
        assert_eq!(
            error.message(),
            "The shape of this data (1, 2, 3) is incompatible with the requested format (text/csv). Slice it or choose a different format."
        );
    }
}

//! The page of an array.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{ArrayData, ByteStream, DType, Family, Result};

use super::page::{push_escaped, push_foot, push_head};
use crate::format::EncodeOptions;
use crate::format::png::{Display, Layout, draw};
use crate::item::ItemReader;
use crate::pool;

/// Most bytes of a plane that is drawn.
const MAX_PLANE: u64 = 64 << 20;
/// Most rows and columns of values, and characters of one value.
const MAX_ROWS: u64 = 50;
const MAX_COLUMNS: u64 = 20;
const MAX_CHARACTERS: usize = 100;

/// Only the beginning of the array is read.
pub(super) async fn encode(mut data: ArrayData, options: &EncodeOptions) -> Result<(Option<u64>, ByteStream)> {
    let display = Display::parse(&options.query)?;
    let plane = Plane::of(&data.dtype, &data.shape);
    let limit = MAX_PLANE.min(options.memory_limit);
    let wanted = plane.items().saturating_mul(data.dtype.itemsize() as u64).min(limit) as usize;
    let mut items = Vec::new();
    while items.len() < wanted
        && let Some(piece) = data.pieces.try_next().await?
    {
        items.extend_from_slice(&piece[..piece.len().min(wanted - items.len())]);
    }
    drop(data.pieces);
    let (dtype, shape, options) = (data.dtype, data.shape, options.clone());
    let page = pool::blocking(move || {
        let mut out = String::new();
        push_head(&options, &format!("Array of shape {shape:?} and dtype {dtype}"), &mut out);
        plane.push_picture(&dtype, &items, &display, &mut out)?;
        plane.push_values(&dtype, &items, &mut out);
        push_foot(Family::Array, &mut out);
        Ok(out)
    })
    .await?;
    Ok((Some(page.len() as u64), stream::once(async { Ok(Bytes::from(page)) }).boxed()))
}

/// The first plane of an array: what one can look at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plane {
    /// Rows, columns, and channels if there are any.
    shape: Vec<u64>,
    /// Axes before the plane.
    outer: usize,
}

impl Plane {
    fn of(dtype: &DType, shape: &[u64]) -> Self {
        let pixels = *dtype == DType::of("u1") || *dtype == DType::of("u2");
        let colours = pixels && matches!(shape, [.., height, width, 3..=4] if *height > 1 && *width > 1);
        let inner = if colours { 3 } else { shape.len().min(2) };
        let (outer, plane) = shape.split_at(shape.len() - inner);
        let plane = if outer.contains(&0) { vec![0; inner] } else { plane.to_vec() };
        Self { shape: plane, outer: outer.len() }
    }

    fn items(&self) -> u64 {
        self.shape.iter().fold(1, |items, len| items.saturating_mul(*len))
    }

    /// NumPy's index of the plane.
    fn index(&self) -> String {
        let first = std::iter::repeat_n("0", self.outer);
        let all = std::iter::repeat_n(":", self.shape.len());
        format!("[{}]", first.chain(all).collect::<Vec<_>>().join(", "))
    }

    fn push_picture(&self, dtype: &DType, items: &[u8], display: &Display, out: &mut String) -> Result<()> {
        let Ok(layout) = Layout::of(dtype, &self.shape) else { return Ok(()) };
        // A picture of one row or one column shows nothing that the values do not.
        if layout.width() < 2 || layout.height() < 2 {
            return Ok(());
        }
        if items.len() as u64 != self.items().saturating_mul(dtype.itemsize() as u64) {
            out.push_str("<p>This is too large for a picture. Slice it to see a part.</p>\n");
            return Ok(());
        }
        let picture = draw(dtype, layout, items, display)?;
        out.push_str("<figure><img alt=\"The array as a picture\" src=\"data:image/png;base64,");
        STANDARD.encode_string(picture, out);
        let _ = writeln!(out, "\"><figcaption>{}</figcaption></figure>", self.index());
        Ok(())
    }

    fn push_values(&self, dtype: &DType, items: &[u8], out: &mut String) {
        let reader = ItemReader::new(dtype);
        let (rows, columns, channels) = match *self.shape.as_slice() {
            [] => (1, 1, 1),
            [rows] => (rows, 1, 1),
            [rows, columns] => (rows, columns, 1),
            [rows, columns, channels, ..] => (rows, columns, channels),
        };
        if rows == 0 || columns == 0 {
            out.push_str("<p>This array is empty.</p>\n");
            return;
        }
        let (shown_rows, shown_columns) = (rows.min(MAX_ROWS), columns.min(MAX_COLUMNS));
        let size = reader.itemsize() as u64;
        let item = |n: u64| {
            let start = usize::try_from(n.checked_mul(size)?).ok()?;
            items.get(start..start.checked_add(size as usize)?)
        };
        out.push_str("<div class=\"rows\"><table>\n<thead><tr><th></th>");
        for column in 0..shown_columns {
            let _ = write!(out, "<th>{column}</th>");
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in 0..shown_rows {
            let _ = write!(out, "<tr><th>{row}</th>");
            for column in 0..shown_columns {
                let first = (row * columns + column) * channels;
                let values = (first..first + channels).filter_map(item).map(|item| {
                    let mut text = String::new();
                    reader.read(item).push_text(&mut text);
                    text
                });
                out.push_str("<td>");
                push_short(&values.collect::<Vec<_>>().join(" "), out);
                out.push_str("</td>");
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table></div>\n");
        if (shown_rows, shown_columns) != (rows, columns) || self.outer > 0 {
            let _ = writeln!(out, "<p>The first values of {}, {rows} rows by {columns} columns.</p>", self.index());
        }
    }
}

fn push_short(text: &str, out: &mut String) {
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => {
            push_escaped(&text[..end], out);
            out.push('…');
        }
        None => push_escaped(text, out),
    }
}

#[cfg(test)]
mod tests {
    use girih_model::ErrorKind;

    use super::*;
    use crate::format::conversion::{block_on, gather};

    fn page(dtype: &str, shape: &[u64], bytes: Vec<u8>, query: &[(&str, &str)]) -> Result<String> {
        let data = ArrayData::whole(DType::of(dtype), shape.to_vec(), bytes);
        let mut options = EncodeOptions { title: "a/b".into(), ..EncodeOptions::default() };
        options.query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        block_on(async {
            let (length, body) = encode(data, &options).await?;
            let bytes = gather(body).await?;
            assert_eq!(length, Some(bytes.len() as u64));
            Ok(String::from_utf8(bytes).unwrap())
        })
    }

    fn check(dtype: &str, shape: &[u64], bytes: Vec<u8>, has: &[&str], lacks: &[&str]) {
        let page = page(dtype, shape, bytes, &[]).unwrap();
        for part in has {
            assert!(page.contains(part), "{dtype} {shape:?} lacks {part}: {page}");
        }
        for part in lacks {
            assert!(!page.contains(part), "{dtype} {shape:?} has {part}: {page}");
        }
    }

    const IMAGE: &str = "<img alt=\"The array as a picture\" src=\"data:image/png;base64,iVBORw0KGgo";

    #[test]
    fn pages() {
        check(
            "u1",
            &[2, 2],
            vec![1, 2, 3, 4],
            &["shape [2, 2] and dtype |u1", IMAGE, "<tr><th>1</th><td>3</td><td>4</td></tr>"],
            &["The first values"],
        );
        check(
            "u1",
            &[2, 2, 2],
            (0..8).collect(),
            &["<figcaption>[0, :, :]</figcaption>", "The first values of [0, :, :]"],
            &[],
        );
        check("u1", &[2, 2, 3], (0..12).collect(), &[IMAGE, "<td>0 1 2</td>"], &[]);
        check(
            "u1",
            &[200],
            vec![7; 200],
            &["<th>49</th><td>7</td>", "200 rows by 1 columns"],
            &["<img", "<th>50</th>"],
        );
        check("S3", &[1, 1], b"<b>".to_vec(), &["<td>b&#39;&lt;b&gt;&#39;</td>"], &["<img", "<b>"]);
        check("S200", &[], vec![b'x'; 200], &["xxx…</td>"], &[&"x".repeat(101)]);
        check("f8", &[0, 3], vec![], &["This array is empty."], &["<img"]);
        check("f8", &[0, 3, 3], vec![], &["This array is empty."], &["<img"]);
        check("S0", &[2], vec![], &["<tr><th>1</th><td>b&#39;&#39;</td></tr>"], &[]);
    }

    #[test]
    fn large_planes_are_not_drawn() {
        let data = ArrayData::whole(DType::of("u1"), vec![1000, 1000], vec![0; 1_000_000]);
        let options = EncodeOptions { memory_limit: 10_000, ..EncodeOptions::default() };
        let page = block_on(async { gather(encode(data, &options).await?.1).await }).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("too large for a picture") && page.contains("<th>9</th><td>0</td>"));
    }

    #[test]
    fn the_picture_obeys_the_query() {
        let error = page("u1", &[2, 2], vec![0; 4], &[("cmap", "mud")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        let plain = page("u1", &[2, 2], vec![0, 1, 2, 3], &[]).unwrap();
        assert_ne!(page("u1", &[2, 2], vec![0, 1, 2, 3], &[("cmap", "magma")]).unwrap(), plain);
    }
}

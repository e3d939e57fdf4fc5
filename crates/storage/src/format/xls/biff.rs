//! Records of the Binary Interchange File Format, version 8 (\[MS-XLS\]).

use std::io::{Result, Write};

use crate::format::spreadsheet::Style;

/// Most bytes in one record (2.1.4).
pub(super) const MAX_RECORD: usize = 8224;

const FORMULA_VERSION: u16 = 0x0600;
const GLOBALS: u16 = 0x0005;
const WORKSHEET: u16 = 0x0010;

const EOF: u16 = 0x000a;
const DATE_1904: u16 = 0x0022;
const FONT: u16 = 0x0031;
pub(super) const CONTINUE: u16 = 0x003c;
const WINDOW_1: u16 = 0x003d;
const CODE_PAGE: u16 = 0x0042;
const BOUND_SHEET: u16 = 0x0085;
const XF: u16 = 0x00e0;
pub(super) const SST: u16 = 0x00fc;
const LABEL_SST: u16 = 0x00fd;
const DIMENSIONS: u16 = 0x0200;
const NUMBER: u16 = 0x0203;
const BOOL_ERR: u16 = 0x0205;
const WINDOW_2: u16 = 0x023e;
const STYLE: u16 = 0x0293;
const FORMAT: u16 = 0x041e;
const BOF: u16 = 0x0809;

/// Style formats that every workbook has before its first cell format.
const STYLE_FORMATS: u16 = 15;
/// The first number format that is not built in.
const FIRST_FORMAT: u16 = 164;

pub(super) fn record(out: &mut impl Write, kind: u16, parts: &[&[u8]]) -> Result<()> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(len <= MAX_RECORD);
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&(len as u16).to_le_bytes())?;
    parts.iter().try_for_each(|part| out.write_all(part))
}

/// A record of 16-bit fields.
fn words(out: &mut impl Write, kind: u16, fields: &[u16]) -> Result<()> {
    let bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    record(out, kind, &[&bytes])
}

fn begin(out: &mut impl Write, substream: u16) -> Result<()> {
    // Build and year of Excel 97; that it was last saved by this version.
    words(out, BOF, &[FORMULA_VERSION, substream, 0x0dbb, 0x07cc, 0x0041, 0, 0x0006, 0])
}

pub(super) fn end(out: &mut impl Write) -> Result<()> {
    record(out, EOF, &[])
}

/// Everything before the strings; where the sheet begins, counted from the beginning of the stream,
/// is the last thing that is known.
pub(super) fn globals(out: &mut impl Write, sheet: &str, sheet_at: u32) -> Result<()> {
    begin(out, GLOBALS)?;
    words(out, CODE_PAGE, &[1200])?;
    // Place and size of the window; scroll bars and tabs; first tab, first visible tab, selected tabs, width of the tabs.
    words(out, WINDOW_1, &[0, 0, 0x4000, 0x2000, 0x0038, 0, 0, 1, 600])?;
    words(out, DATE_1904, &[0])?;
    for _ in 0..4 {
        font(out)?;
    }
    for (n, style) in (FIRST_FORMAT..).zip(Style::ALL) {
        let code = style.code().as_bytes();
        let head = [n.to_le_bytes(), (code.len() as u16).to_le_bytes()].concat();
        record(out, FORMAT, &[&head, &[0], code])?;
    }
    for _ in 0..STYLE_FORMATS {
        extended_format(out, 0, true)?;
    }
    extended_format(out, 0, false)?;
    for n in 0..Style::ALL.len() as u16 {
        extended_format(out, FIRST_FORMAT + n, false)?;
    }
    // The built-in style "Normal" is the first style format.
    record(out, STYLE, &[&[0, 0x80, 0, 0xff]])?;
    let name = sheet.as_bytes();
    // A visible worksheet with a name of Latin characters.
    record(out, BOUND_SHEET, &[&sheet_at.to_le_bytes(), &[0, 0, name.len() as u8, 0], name])
}

/// Arial, 10 points.
fn font(out: &mut impl Write) -> Result<()> {
    let head: Vec<u8> = [200u16, 0, 0x7fff, 400, 0].iter().flat_map(|field| field.to_le_bytes()).collect();
    // No underline, family, character set; then the name.
    record(out, FONT, &[&head, &[0, 0, 0, 0, 5, 0], b"Arial"])
}

/// How a cell looks (2.4.353): bottom-aligned, without borders and colours.
fn extended_format(out: &mut impl Write, number_format: u16, is_style: bool) -> Result<()> {
    let kind = if is_style { 0xfff5 } else { 0x0001 };
    // Which attributes differ from the parent style: the number format.
    let used = if number_format == 0 { 0 } else { 1 << 10 };
    words(out, XF, &[0, number_format, kind, 0x0020, used, 0, 0, 0, 0, 0x20c0])
}

/// The index of the cell format for plain values or for times.
pub(super) fn cell_format(style: Option<Style>) -> u16 {
    let n = style.and_then(|style| Style::ALL.iter().position(|known| *known == style));
    STYLE_FORMATS + n.map_or(0, |n| 1 + n as u16)
}

/// The beginning of a sheet of this size.
pub(super) fn sheet(out: &mut impl Write, rows: u32, columns: u16) -> Result<()> {
    begin(out, WORKSHEET)?;
    // First row, row after the last; first column, column after the last.
    let dimensions = [0u32.to_le_bytes(), rows.to_le_bytes()].concat();
    let columns = u32::from(columns) << 16;
    record(out, DIMENSIONS, &[&dimensions, &columns.to_le_bytes(), &[0, 0]])
}

pub(super) fn sheet_end(out: &mut impl Write) -> Result<()> {
    // Grid, headings, zeros, outline symbols; selected and active; default colours and zoom.
    words(out, WINDOW_2, &[0x06b6, 0, 0, 0x40, 0, 0, 0, 0, 0])?;
    end(out)
}

pub(super) fn number(out: &mut impl Write, cell: [u16; 3], value: f64) -> Result<()> {
    record(out, NUMBER, &[cell.map(u16::to_le_bytes).as_flattened(), &value.to_le_bytes()])
}

pub(super) fn boolean(out: &mut impl Write, cell: [u16; 3], value: bool) -> Result<()> {
    record(out, BOOL_ERR, &[cell.map(u16::to_le_bytes).as_flattened(), &[u8::from(value), 0]])
}

/// A cell that shows one of the strings.
pub(super) fn label(out: &mut impl Write, cell: [u16; 3], string: u32) -> Result<()> {
    record(out, LABEL_SST, &[cell.map(u16::to_le_bytes).as_flattened(), &string.to_le_bytes()])
}

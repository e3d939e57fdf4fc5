//! What the user guide says about tables of the code is what they hold.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use girih_model::Family;
use girih_storage::{FORMATS, Format};

fn guide(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user").join(page)
}

fn code<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn formats() -> String {
    let mut text = String::from(
        "| media type | short names | exported from | uploaded as | read from files | kept as |\n|---|---|---|---|---|---|\n",
    );
    let families = |of: &[Family]| of.iter().map(|family| family.name()).collect::<Vec<_>>().join(", ");
    let faces: [fn(&dyn Format) -> &'static [Family]; 4] =
        [|f| f.encodes(), |f| f.decodes(), |f| f.opens(), |f| f.creates()];
    for format in FORMATS {
        let names = code(format.extensions().iter().copied());
        let faces = faces.map(|face| families(face(*format))).join(" | ");
        writeln!(text, "| `{}` | {names} | {faces} |", format.media_type()).unwrap();
    }
    text.replace("|  ", "| ")
}

#[test]
fn the_table_of_formats_is_current() {
    const BEGIN: &str = "<!-- formats: generated, see crates/storage/src/format.rs -->\n";
    const END: &str = "<!-- end of formats -->\n";
    let path = guide("formats.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if found != formats() && std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, [before, BEGIN, &formats(), END, after].concat()).unwrap();
    } else {
        assert_eq!(found, formats(), "run the tests with UPDATE_SNAPSHOTS=1 to bring docs/user/formats.md up to date");
    }
}

/// Names in backticks in the first column of the page's tables.
fn first_column(page: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(guide(page)).unwrap();
    let cells = text.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_query_has_its_row() {
    let queries: BTreeSet<_> = girih_model::query::names().map(str::to_owned).collect();
    assert_eq!(first_column("search.md"), queries);
}

//! The contract.

use std::path::Path;

/// `openapi.json` at the root of the project is what the server says. To write it anew: `UPDATE_SNAPSHOTS=1 cargo test`.
#[test]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let text = serde_json::to_string_pretty(&girih_server::document()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "openapi.json is not current. Run the tests with UPDATE_SNAPSHOTS=1 and commit it.");
}

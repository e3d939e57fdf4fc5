//! The rules of the house that a compiler does not hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most lines of code in one file, without comments and blank lines.
const MAX_LINES: usize = 700;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["mod", "utils", "common", "helpers", "core", "manager"];
const CODE: [&str; 4] = ["rs", "py", "ts", "tsx"];
/// Made by tools, or not ours.
const NOT_OURS: [&str; 5] = ["target", "node_modules", "__pycache__", "dist", "generated"];

/// Who may import whom, of our own crates.
const MAY_IMPORT: [(&str, &[&str]); 7] = [
    ("model", &[]),
    ("storage", &["model"]),
    ("database", &["model"]),
    ("engine", &["model", "storage", "database"]),
    ("server", &["model", "engine"]),
    ("client", &["model"]),
    ("cli", &["model", "server", "engine", "client"]),
];

/// Libraries that live in one crate only: what they are about is that crate's business.
const LIVES_ONLY_IN: [(&str, &str); 12] = [
    ("sqlx", "database"),
    ("object_store", "storage"),
    ("parquet", "storage"),
    ("png", "storage"),
    ("fax", "storage"),
    ("csv", "storage"),
    ("rust_xlsxwriter", "storage"),
    ("rustix", "storage"),
    ("axum", "server"),
    ("tower", "server"),
    ("clap", "cli"),
    ("notify", "engine"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All files of the project with one of these extensions.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()) {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted)) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no files with {extensions:?}");
    found
}

/// Fails with all faults at once.
fn check(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Names in the sections of a manifest: `[dependencies]` to `["girih-model", …]`. Enough of TOML for our manifests, in
/// which every dependency is a line of its own.
fn manifest(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let name = key.trim().split('.').next().unwrap_or_default().to_owned();
            sections.entry(section.clone()).or_default().push(name);
        }
    }
    sections
}

/// `[dependencies]`, `[build-dependencies]`, `[target.'…'.dependencies]`; tests may use what they like.
fn dependencies(crate_name: &str) -> Vec<String> {
    let sections = manifest(&read(&root().join("crates").join(crate_name).join("Cargo.toml")));
    let counts = |section: &str| section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
    sections.into_iter().filter(|(section, _)| counts(section)).flat_map(|(_, names)| names).collect()
}

fn crates() -> Vec<String> {
    let folders = std::fs::read_dir(root().join("crates")).unwrap();
    folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn dependencies_point_down() {
    let mut faults = Vec::new();
    for name in crates() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("crates/{name}: unknown here; say in tidy.rs what it may import"));
            continue;
        };
        for dependency in dependencies(&name) {
            if let Some(ours) = dependency.strip_prefix("girih-")
                && !allowed.contains(&ours)
            {
                faults.push(format!("crates/{name} may not import {dependency}"));
            }
        }
    }
    check(faults);
}

#[test]
fn libraries_stay_in_their_room() {
    let mut faults = Vec::new();
    for name in crates() {
        for dependency in dependencies(&name) {
            if let Some((_, home)) = LIVES_ONLY_IN.iter().find(|(library, _)| *library == dependency)
                && *home != name
            {
                faults.push(format!("crates/{name} uses {dependency}, which lives only in crates/{home}"));
            }
        }
    }
    check(faults);
}

#[test]
fn versions_are_named_once() {
    let inherits = |line: &str| line.contains(".workspace = true") || line.contains("workspace = true");
    let mut faults = Vec::new();
    for name in crates() {
        let path = root().join("crates").join(&name).join("Cargo.toml");
        let mut inside = false;
        for line in read(&path).lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with('[') {
                inside = line.ends_with("dependencies]");
            } else if inside && !inherits(line) {
                faults.push(format!("crates/{name}: {line:?} does not inherit from the workspace"));
            }
        }
    }
    check(faults);
}

/// Whether a crate is named in the code: `name::…`, or `name` alone in `use name;`.
fn is_used(library: &str, code: &str) -> bool {
    let name = library.replace('-', "_");
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(&name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        // `::name` says that a crate is meant, and not a function of ours.
        let before = before.strip_suffix("::").filter(|rest| !rest.ends_with(is_word)).unwrap_or(before);
        (!before.ends_with(is_word) && after.starts_with("::")) || (before.ends_with("use ") && after.starts_with(';'))
    })
}

#[test]
fn every_dependency_is_used() {
    let mut faults = Vec::new();
    let mut used = Vec::new();
    let members =
        crates().into_iter().map(|name| format!("crates/{name}")).chain(["bench".to_owned(), "fuzz".to_owned()]);
    for member in members {
        let folder = root().join(&member);
        let code: String =
            files(&["rs"]).iter().filter(|path| path.starts_with(&folder)).map(|path| read(path)).collect();
        for (section, names) in manifest(&read(&folder.join("Cargo.toml"))) {
            for library in names.into_iter().filter(|_| section.ends_with("dependencies")) {
                if !is_used(&library, &code) {
                    faults.push(format!("{member} does not use {library}"));
                }
                used.push(library);
            }
        }
    }
    for library in &manifest(&read(&root().join("Cargo.toml")))["workspace.dependencies"] {
        if !used.contains(library) {
            faults.push(format!("Cargo.toml names {library}, which no crate uses"));
        }
    }
    check(faults);
}

#[test]
fn files_are_small_and_say_what_they_are() {
    let mut faults = Vec::new();
    for path in files(&CODE) {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        let comment = if path.extension().is_some_and(|e| e == "py") { "#" } else { "//" };
        let text = read(&path);
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(comment)).count();
        if lines > MAX_LINES {
            faults.push(format!("{shown}: {lines} lines of code; at most {MAX_LINES} (where is the seam?)"));
        }
        let stem = path.file_stem().unwrap().to_string_lossy();
        if EMPTY_NAMES.contains(&&*stem) {
            faults.push(format!("{shown}: the name says nothing; what is inside?"));
        }
    }
    check(faults);
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let folder = std::fs::read_dir(root().join("docs/decisions")).unwrap();
    let mut names: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let faults = names.iter().zip(1..).filter(|(name, number)| !name.starts_with(&format!("{number:03}-")));
    check(faults.map(|(name, number)| format!("docs/decisions/{name}: expected the number {number:03}")).collect());
}

#[test]
fn the_changelog_has_room_for_the_next_change() {
    let text = read(&root().join("CHANGELOG.md"));
    assert!(text.contains("\n## [Unreleased]\n"), "CHANGELOG.md has no section \"## [Unreleased]\"");
}

/// Links between pages of the documentation lead somewhere.
#[test]
fn relative_links_lead_to_files() {
    let mut faults = Vec::new();
    for path in files(&["md"]) {
        for target in read(&path).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") || target.contains(' ') {
                continue;
            }
            if !path.parent().unwrap().join(target).exists() {
                faults.push(format!("{}: no such file: {target}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    check(faults);
}

#[test]
fn the_readers_of_manifests_see_every_form() {
    let text = "[dependencies]\na.workspace = true\nb = { workspace = true }\n# c = 1\n\n[target.'cfg(unix)'.dependencies]\nd = \"1\"\n";
    let sections = manifest(text);
    assert_eq!(sections["dependencies"], ["a", "b"]);
    assert_eq!(sections["target.'cfg(unix)'.dependencies"], ["d"]);
    assert!(is_used("a-b", "use a_b::C;") && is_used("a", "use a;") && is_used("a", "let x = a::b();"));
    assert!(!is_used("a", "use b::a::C; aa::b; // a"));
}

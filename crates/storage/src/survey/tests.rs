use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::keys::strip_suffixes;
use super::*;
use crate::place::Directory;

struct Room(tempfile::TempDir);

impl Room {
    fn with(files: &[&str]) -> Self {
        let room = tempfile::tempdir().unwrap();
        for file in files {
            let path = room.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if file.ends_with('/') { std::fs::create_dir(path).unwrap() } else { std::fs::write(path, file).unwrap() }
        }
        Self(room)
    }

    fn survey(&self, options: &SurveyOptions) -> Surveyed {
        survey(&Directory::open(self.0.path(), false).unwrap().root(), options).unwrap()
    }
}

fn keys(found: &Surveyed) -> Vec<(String, usize)> {
    let mut keys: Vec<_> =
        found.candidates.iter().map(|candidate| (candidate.key.clone(), candidate.members.len())).collect();
    keys.extend(found.directories.iter().map(|below| (below.key.clone(), 0)));
    keys
}

fn check(files: &[&str], expected: &[(&str, usize)]) {
    let found = Room::with(files).survey(&SurveyOptions::default());
    let expected: Vec<_> = expected.iter().map(|(key, members)| ((*key).to_owned(), *members)).collect();
    assert_eq!(keys(&found), expected, "{files:?}");
}

#[test]
fn keys_are_names_without_endings() {
    for (name, key) in [("a.txt", "a"), ("a.tar.gz", "a"), ("a", "a"), (".a.b", ".a"), ("a.", "a."), ("x.y.npy", "x")] {
        assert_eq!(strip_suffixes(name), key, "{name}");
    }
}

#[test]
fn numbered_files_are_sequences_in_the_order_of_their_numbers() {
    check(&["i1.tif", "i2.tif", "i10.tif", "b.csv", "dir.x/a"], &[("b", 1), ("i", 3), ("dir", 0)]);
    check(&["1.npy", "02.npy"], &[("_unnamed", 2)]);
    let found = Room::with(&["i10.tiff", "i9.tif", "i009.tif"]).survey(&SurveyOptions::default());
    let names: Vec<_> = found.candidates[0].members.iter().map(|member| member.location.name()).collect();
    assert_eq!(names, ["i009.tif", "i9.tif", "i10.tiff"]);
    assert_eq!(found.candidates[0].name(), "i009.tif … i10.tiff (3 files)");
    let files = found.candidates[0].files();
    assert_eq!(files.media_type, "multipart/related;type=image/tiff");
    assert_eq!((files.assets[2].num, files.assets[2].parameter.as_deref()), (Some(2), Some("data_uris")));
}

#[test]
fn formats_are_not_mixed_and_keys_never_collide() {
    check(&["i1.tif", "i2.npy"], &[("i.tif", 1), ("i.npy", 1)]);
    check(&["a.csv", "a.h5", "b.csv"], &[("a.csv", 1), ("a.h5", 1), ("b", 1)]);
    check(&["a.csv", "a/x"], &[("a.csv", 1), ("a", 0)]);
    // What is only bytes does not change the name of the data beside it.
    check(&["a.csv", "a.log", "README"], &[("README", 1), ("a", 1), ("a.log", 1)]);
    check(&["i.tif", "i1.tif"], &[("i.tif", 1), ("i.tif~2", 1)]);
    let again = distinct(["a", "a~2", "a", "a"].map(String::from).into_iter());
    assert_eq!(again, ["a", "a~2", "a~3", "a~4"]);
}

#[test]
fn what_is_hidden_or_no_file_is_not_seen() {
    let room = Room::with(&[".hidden/a.csv", ".b.csv", "c.csv"]);
    symlink("/etc/hostname", room.0.path().join("out.csv")).unwrap();
    symlink("c.csv", room.0.path().join("in.csv")).unwrap();
    let found = room.survey(&SurveyOptions::default());
    assert_eq!(keys(&found), [("c".to_owned(), 1), ("in".to_owned(), 1)]);
    assert_eq!(found.skipped[0].name, "out.csv");
}

#[test]
fn every_name_has_a_key_or_a_reason() {
    check(&["a\\b.csv", "c\td/"], &[("a_b", 1), ("c_d", 0)]);
    check(&["a\\b.csv", "a\nb.csv"], &[("a_b.csv", 1), ("a_b.csv~2", 1)]);
    let room = Room::with(&["sub/b.csv"]);
    std::fs::write(room.0.path().join(OsStr::from_bytes(b"a\xff.csv")), "").unwrap();
    symlink(".", room.0.path().join("self")).unwrap();
    symlink("..", room.0.path().join("sub/up")).unwrap();
    symlink("sub", room.0.path().join("other")).unwrap();
    let found = room.survey(&SurveyOptions::default());
    assert_eq!(keys(&found), [("other".to_owned(), 0), ("sub".to_owned(), 0)]);
    let skipped: Vec<_> = found.skipped.iter().map(|skipped| &*skipped.name).collect();
    assert_eq!(skipped, ["a\u{fffd}.csv", "self"]);
    let below = survey(&found.directories[0].location, &SurveyOptions::default()).unwrap();
    assert_eq!((below.directories.len(), &*below.skipped[0].name), (0, "up"));
}

/// All directories that are found from here, links followed.
fn walk(place: &Location, prefix: &str, found: &mut Vec<String>) {
    for below in survey(place, &SurveyOptions::default()).unwrap().directories {
        let path = format!("{prefix}{}", below.key);
        found.push(path.clone());
        walk(&below.location, &format!("{path}/"), found);
    }
}

#[test]
fn links_to_one_another_are_followed_once_on_each_way() {
    let room = Room::with(&["a/x", "b/x", "c/x"]);
    for (from, to) in [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"), ("a", "a"), ("b", "")] {
        let name = if to.is_empty() { "top" } else { to };
        symlink(format!("../{to}"), room.0.path().join(from).join(name)).unwrap();
    }
    let mut found = Vec::new();
    walk(&Directory::open(room.0.path(), false).unwrap().root(), "", &mut found);
    assert_eq!(found, ["a", "a/b", "a/b/c", "b", "b/a", "b/c", "c", "c/b", "c/b/a"]);
}

#[test]
fn options_choose_what_is_seen_and_what_it_is() {
    let room = Room::with(&["a.xyz", "b.csv", "c0", "i1.tif", "sub/"]);
    let names =
        |options: SurveyOptions| keys(&room.survey(&options)).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let all = SurveyOptions { keep_extensions: true, ..SurveyOptions::default() };
    assert_eq!(names(all.clone()), ["a.xyz", "b.csv", "c0", "i", "sub"]);
    assert_eq!(names(SurveyOptions { bytes: false, ..all.clone() }), ["b.csv", "i", "sub"]);
    assert_eq!(names(SurveyOptions { only: vec!["CSV".into()], ..all.clone() }), ["b.csv", "sub"]);
    assert_eq!(names(SurveyOptions { single: false, ..all.clone() }), ["i", "sub"]);
    assert_eq!(names(SurveyOptions { sequences: false, ..all.clone() }), ["a.xyz", "b.csv", "c0", "i1.tif", "sub"]);
    let known = [("xyz".to_owned(), "text/csv".to_owned())];
    let found = room.survey(&SurveyOptions { media_types: known.into(), ..all.clone() });
    assert_eq!(found.candidates[0].media_type, "text/csv");
    let hook: Hook = Arc::new(|path: &Path, guess: Option<&str>| {
        let named = path.file_name().is_some_and(|name| name == "c0");
        Ok(if named { Some("text/csv".to_owned()) } else { guess.map(str::to_owned) })
    });
    let found = room.survey(&SurveyOptions { hook: Some(hook), bytes: false, ..all });
    assert_eq!(found.candidates.iter().map(|c| c.key.as_str()).collect::<Vec<_>>(), ["b.csv", "c0", "i"]);
    let fails: Hook = Arc::new(|_: &Path, _: Option<&str>| Err(Error::unprocessable("no answer")));
    let found = room.survey(&SurveyOptions { hook: Some(fails), ..SurveyOptions::default() });
    assert!(found.candidates.is_empty() && found.directories.is_empty());
    assert!(found.skipped.iter().all(|skipped| skipped.fault == Some(ErrorKind::Unprocessable)));
    assert_eq!(found.skipped.len(), 5);
}

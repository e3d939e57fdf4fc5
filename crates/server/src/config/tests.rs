use super::*;

fn env(name: &str) -> Option<String> {
    (name == "DATA").then(|| "/data".to_owned())
}

fn read(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config> {
    Config::from_tree(yaml::parse(text, &"c.yml".into())?, env)
}

fn ok(text: &str) -> Config {
    read(text, &env).unwrap()
}

/// Every error is one line that holds all of `parts`.
fn refused(text: &str, parts: &[&str]) {
    let e = read(text, &env).expect_err(text);
    assert!(!e.message().contains('\n'), "{}", e.message());
    for part in parts {
        assert!(e.message().contains(part), "{text:?}: {:?} lacks {part:?}", e.message());
    }
}

const MINIMAL: &str = "catalog: {uri: 'sqlite:///c.db'}\n";

#[test]
fn a_catalog_with_everything() {
    let config = ok(r#"
catalog:
  uri: "sqlite:///${DATA}/catalog.db"
  init_if_not_exists: true
  writable_storage: [$DATA/files, "duckdb:///x.duckdb"]
  readable_storage: ["file://localhost/raw%20data"]
  metadata: {color: blue, n: [1, 2.5, null]}
  specs: [{name: lab, version: "1.0"}, plain]
  mount_node: /a/b
create_mount_nodes_if_not_exist: true
authentication: {single_user_api_key: secret1, allow_anonymous_access: true}
allow_origins: ["https://example.org"]
response_bytesize_limit: 200.0
exact_count_limit: "7"
specs: [{spec: xdi}]
reject_undeclared_specs: yes
expose_raw_assets: false
metrics: {prometheus: false}
uvicorn: {host: 0.0.0.0, port: 9000, root_path: tiled/}
girih: {request_body_limit: 1000, request_timeout: 1.5}
streaming_cache: {uri: memory}
"#);
    let [catalog] = &config.engine.catalogs[..] else { panic!() };
    assert_eq!(catalog.uri, "sqlite:////data/catalog.db");
    assert_eq!((catalog.writable[0].to_str(), catalog.writable.len()), (Some("/data/files"), 1));
    assert_eq!(catalog.readable[0].to_str(), Some("/raw data"));
    assert_eq!(catalog.metadata.as_ref().unwrap().text(), r#"{"color":"blue","n":[1,2.5,null]}"#);
    assert_eq!((catalog.specs[0].version.as_deref(), catalog.specs[1].name.as_str()), (Some("1.0"), "plain"));
    assert_eq!((catalog.at.as_str(), catalog.node.as_str()), ("", "a/b"));
    assert!(catalog.create && catalog.create_node);
    let options = &config.engine.options;
    assert_eq!((options.response_bytesize_limit, options.exact_count_limit), (Some(200), Some(7)));
    assert!(options.reject_undeclared_specs && !options.expose_raw_assets);
    assert_eq!(options.specs, ["xdi"]);
    assert_eq!(config.api_key.as_deref(), Some("secret1"));
    assert_eq!((config.host.as_str(), config.port, config.root_path.as_str()), ("0.0.0.0", 9000, "/tiled"));
    assert_eq!(config.request_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(config.request_body_limit, 1000);
    assert!(config.allow_anonymous && !config.metrics);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
}

#[test]
fn trees_are_catalogs_at_paths() {
    let config = ok(
        "trees:\n- {path: /a, tree: catalog, args: {uri: x.db}}\n- path: [b, c]\n  tree: catalog\n  args: {uri: y.db}\n",
    );
    let at: Vec<_> = config.engine.catalogs.iter().map(|c| c.at.as_str()).collect();
    assert_eq!(at, ["a", "b/c"]);
}

#[test]
fn defaults() {
    let config = ok(MINIMAL);
    assert_eq!((config.host.as_str(), config.port, config.root_path.as_str()), ("127.0.0.1", 8000, ""));
    assert_eq!((config.api_key, config.allow_anonymous, config.metrics), (None, false, true));
    assert_eq!(config.engine.options.exact_count_limit, Some(100));
    assert_eq!((config.request_body_limit, config.request_timeout), (4 << 30, Some(Duration::from_secs(120))));
    assert!(config.warnings.is_empty());
}

/// The table's defaults are what really happens when a setting is left out.
#[test]
fn the_table_tells_the_defaults() {
    let spelt = |prefix: &str| {
        let rows = settings::SETTINGS.iter().filter(|s| !s.is_later() && !s.default.is_empty());
        let rows = rows.filter(|s| s.key.starts_with(prefix));
        rows.map(|s| format!("{}: {}\n", s.key.trim_start_matches(prefix), s.default)).collect::<String>()
    };
    let indented = |text: String| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let mut text = String::from("catalog:\n  uri: 'sqlite:///c.db'\n");
    text += &indented(spelt("catalog."));
    for section in ["authentication", "uvicorn", "metrics", "girih"] {
        text += &format!("{section}:\n{}", indented(spelt(&format!("{section}."))));
    }
    for s in settings::SETTINGS.iter().filter(|s| !s.is_later() && !s.default.is_empty() && !s.key.contains('.')) {
        text += &format!("{}: {}\n", s.key, s.default);
    }
    assert_eq!(format!("{:?}", ok(&text)), format!("{:?}", ok(MINIMAL)));
}

#[test]
fn unknown_keys_are_told_with_line_and_suggestion() {
    refused(
        "catalog:\n  uri: x\n  writeable_storage: [d]\n",
        &["c.yml:3", "writeable_storage", "\"writable_storage\"?"],
    );
    refused("catalogue: {}\n", &["c.yml:1", "\"catalog\"?"]);
    refused("trees:\n- path: /\n  tre: catalog\n", &["c.yml:3", "\"tree\"?"]);
    refused("uvicorn: {zzz: 1}\n", &["zzz", "host, port"]);
    refused("object_cache: {}\n", &["unknown setting \"object_cache\""]);
}

#[test]
fn what_is_not_supported_yet_is_refused_unless_it_asks_for_nothing() {
    for text in [
        "authentication:\n  providers: [{provider: toy, authenticator: 'a:b'}]\n",
        "access_control: {access_policy: 'a:b'}\n",
        "database: {uri: 'sqlite:///a.db'}\n",
        "uvicorn: {ssl_keyfile: key.pem}\n",
        "uvicorn: {workers: 4}\n",
        "webhooks: {secret_keys: [x]}\n",
        "catalog_pool_size: 9\n",
        "streaming_cache: {uri: 'redis://localhost'}\n",
        "specs: [{spec: a, validator: 'a:b'}]\n",
    ] {
        refused(&format!("{MINIMAL}{text}"), &["c.yml:", "not supported yet"]);
    }
    refused("catalog: {uri: x, adapters_by_mimetype: {a/b: 'c:d'}}", &["adapters_by_mimetype", "not supported yet"]);
    refused("catalog: {uri: x, writable_storage: [{uri: 'http://h/b', provider: s3}]}", &["not supported yet"]);
    ok(&format!(
        "{MINIMAL}authentication: {{providers: [], secret_keys: null, access_token_max_age: 900}}\nuvicorn: {{workers: 1}}\nwebhooks: {{}}\n"
    ));
}

#[test]
fn the_command_line_adds_a_catalog() {
    let mut config = Config::from_environment(&env).unwrap();
    let list = |text: &str| vec![text.to_owned()];
    config.add_catalog("c.db", true, &list("file:///a%20b"), &list("duckdb:///x")).unwrap();
    assert_eq!(config.engine.catalogs[0].writable, [Path::new("/a b")]);
    assert_eq!((config.engine.catalogs[0].readable.len(), config.warnings.len()), (0, 1));
    assert!(config.add_catalog("c.db", true, &list("s3://b/x"), &[]).unwrap_err().message().starts_with("--write: "));
}

#[test]
fn random_keys_are_valid_and_differ() {
    let key = random_api_key();
    assert_eq!(key.len(), 64);
    check_api_key(&key).unwrap();
    assert_ne!(key, random_api_key());
}

#[test]
fn wrong_values_are_told() {
    for (text, part) in [
        ("uvicorn: {port: 70000}\n", "between 0 and 65535"),
        ("uvicorn: {port: x}\n", "uvicorn.port must be a non-negative integer"),
        ("uvicorn: {port: -1}\n", "non-negative integer"),
        ("uvicorn: 3\n", "\"uvicorn\" must be a mapping"),
        ("allow_origins: [1]\n", "list of texts"),
        ("expose_raw_assets: perhaps\n", "true or false"),
        ("authentication: {single_user_api_key: 'a b'}\n", "letters and digits"),
        ("specs: [{name: a}]\n", "\"name\""),
        ("girih: {request_timeout: -1}\n", "seconds"),
        ("allow_origins: [$NOPE]\n", "NOPE is not set"),
    ] {
        refused(&format!("{MINIMAL}{text}"), &["c.yml:", part]);
    }
    refused("", &["nothing to serve"]);
    refused("uvicorn: {port: 1}", &["nothing to serve"]);
    refused("catalog: {init_if_not_exists: true}", &["no \"uri\""]);
    refused("catalog: {uri: x}\ntrees: [{path: /, tree: catalog, args: {uri: x}}]", &["exclude each other"]);
    refused("trees: [{path: /, tree: 'pkg:obj', args: {uri: x}}]", &["only kind of tree"]);
    refused("trees: [{path: /a/.., tree: catalog, args: {uri: x}}]", &["c.yml:1", "special meaning"]);
    refused("catalog: {uri: x, mount_node: 3}", &["catalog.mount_node"]);
}

#[test]
fn the_environment_wins_over_the_file_and_girih_over_tiled() {
    let env = |name: &str| {
        let value = match name {
            "TILED_SINGLE_USER_API_KEY" => "fromtiled",
            "GIRIH_PORT" => "1234",
            "TILED_PORT" => "4321",
            "TILED_ALLOW_ANONYMOUS_ACCESS" => "1",
            "TILED_ALLOW_ORIGINS" => r#"["http://a", "http://b"]"#,
            "TILED_RESPONSE_BYTESIZE_LIMIT" => "99",
            "TILED_EXACT_COUNT_LIMIT" => "",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let text = format!("{MINIMAL}authentication: {{single_user_api_key: fromfile}}\nexact_count_limit: 5\n");
    let config = read(&text, &env).unwrap();
    assert_eq!((config.api_key.as_deref(), config.port, config.allow_anonymous), (Some("fromtiled"), 1234, true));
    assert_eq!(config.allow_origins, ["http://a", "http://b"]);
    assert_eq!(config.engine.options.response_bytesize_limit, Some(99));
    assert_eq!(config.engine.options.exact_count_limit, Some(5));
    assert_eq!(Config::from_environment(&env).unwrap().port, 1234);

    let bad = |name: &str| (name == "TILED_PORT").then(|| "many".to_owned());
    let e = Config::from_environment(&bad).unwrap_err();
    assert!(e.message().starts_with("environment variable TILED_PORT: "), "{}", e.message());
}

#[test]
fn a_directory_of_files_is_one_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let e = Config::load(directory.path(), &env).unwrap_err();
    assert!(e.message().contains("no *.yml"));
    write("a.yml", "trees: [{path: /a, tree: catalog, args: {uri: x}}]\n");
    write("b.yaml", "trees: [{path: /b, tree: catalog, args: {uri: x}}]\nuvicorn: {port: 1}\n");
    write("notes.txt", "not: [yaml");
    let config = Config::load(directory.path(), &env).unwrap();
    assert_eq!((config.engine.catalogs.len(), config.port), (2, 1));
    write("c.yml", "uvicorn: {port: 2}\n");
    let e = Config::load(directory.path(), &env).unwrap_err();
    assert!(e.message().contains("c.yml:1") && e.message().contains("b.yaml:2"), "{}", e.message());
    let e = Config::load(&directory.path().join("none.yml"), &env).unwrap_err();
    assert!(e.message().contains("none.yml cannot be read"), "{}", e.message());
}

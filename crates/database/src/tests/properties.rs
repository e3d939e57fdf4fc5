//! The database answers what the plain meaning of filters and orders says.

use std::cmp::Ordering;

use girih_model::filter::{Facts, KeyPath, Order, Term, Test, TextQuery, value};
use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Runtime;

use super::*;
use crate::{Count, DistinctWants, SortKey};

const KEYS: [&str; 5] = ["a", "b", "c.d", "q\"x", "deep"];
const WORDS: [&str; 4] = ["red", "Green", "blue fox", "fox-trot"];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        (-3i32..4).prop_map(|n| json!(f64::from(n) / 2.0)),
        prop::sample::select(&WORDS[..]).prop_map(Value::from),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(&KEYS[..]).prop_map(String::from), inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn metadata() -> impl Strategy<Value = Value> {
    prop::collection::hash_map(prop::sample::select(&KEYS[..]).prop_map(String::from), any_value(), 0..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn key_path() -> impl Strategy<Value = KeyPath> {
    prop::collection::vec(prop::sample::select(&KEYS[..]).prop_map(String::from), 1..3).prop_map(KeyPath)
}

fn test() -> impl Strategy<Value = Test> {
    let order = prop::sample::select(&[Order::Lt, Order::Le, Order::Gt, Order::Ge][..]);
    let pattern = prop::sample::select(&["%e%", "r_d", "FOX%", "", "blue\\%", "x\\"][..]);
    let regex = prop::sample::select(&["^r", "fox$", ".", "(?x) green"][..]);
    prop_oneof![
        Just(Test::Present),
        any_value().prop_map(Test::Eq),
        prop::collection::vec(any_value(), 0..3).prop_map(Test::In),
        (order, scalar()).prop_map(|(order, bound)| Test::Compare(order, bound)),
        pattern.prop_map(|p| Test::Like(p.into())),
        prop_oneof![scalar(), Just(json!("fox")), Just(json!("a")), Just(json!("q\"x"))].prop_map(Test::Contains),
        (regex, any::<bool>())
            .prop_map(|(pattern, case_sensitive)| Test::Regex { pattern: pattern.into(), case_sensitive }),
    ]
}

fn text_query() -> impl Strategy<Value = TextQuery> {
    let term = (prop::sample::select(vec!["red", "fox", "blue fox", "gre", "zz"]), any::<bool>(), any::<bool>());
    let term = term.prop_map(|(words, prefix, negated)| Term {
        words: words.split(' ').map(str::to_owned).collect(),
        prefix,
        negated,
    });
    prop::collection::vec(prop::collection::vec(term, 1..3), 0..3).prop_map(|any| TextQuery { any })
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        6 => (key_path(), test()).prop_map(|(at, test)| Filter::Value { at, test }),
        1 => prop::collection::vec(prop::sample::select(&["n0", "n3", "zz"][..]).prop_map(String::from), 0..3).prop_map(Filter::KeyIn),
        1 => text_query().prop_map(Filter::Text),
        1 => prop::sample::select(&["foo", "bar"][..]).prop_map(|name| Filter::Spec(name.into())),
        1 => prop::sample::select(&[Family::Container, Family::Array][..]).prop_map(Filter::Family),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(Filter::negate),
        ]
    })
}

fn sort() -> impl Strategy<Value = Vec<Sort>> {
    let key = prop_oneof![Just(SortKey::Key), key_path().prop_map(SortKey::Value)];
    let keys = prop::collection::vec((key, any::<bool>()), 0..3);
    (keys, prop::option::of(any::<bool>())).prop_map(|(keys, created)| {
        let mut sort: Vec<Sort> = Vec::new();
        for (key, descending) in keys {
            if sort.iter().all(|s| s.key != key) {
                sort.push(by(key, descending));
            }
        }
        sort.extend(created.map(|descending| by(SortKey::Created, descending)));
        sort
    })
}

async fn fill(room: &Room, all: &[Value]) {
    for (n, metadata) in all.iter().enumerate() {
        let specs = if n.is_multiple_of(3) { vec![spec("foo")] } else { Vec::new() };
        room.create(ROOT, NewNode { specs, ..container(&format!("n{n}"), metadata.clone()) }).await.unwrap();
    }
}

fn passes(filter: &Filter, n: usize, metadata: &Value) -> bool {
    let specs = if n.is_multiple_of(3) { vec![spec("foo")] } else { Vec::new() };
    let facts = Facts { key: &format!("n{n}"), metadata, specs: &specs, family: Family::Container };
    filter.matches(&facts).unwrap()
}

/// The order of values, as `SortKey::Value` says it; lists and objects are not told apart.
fn order(a: Option<&Value>, b: Option<&Value>, descending: bool) -> Ordering {
    let rank = |v: &Value| match v {
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Bool(_) => 3,
        Value::Array(_) | Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => {
            let up = rank(a).cmp(&rank(b)).then(value::compare(a, b).unwrap_or(Ordering::Equal));
            if descending { up.reverse() } else { up }
        }
    }
}

async fn walk(room: &Room, filter: &Filter, sort: &[Sort], limit: u64, by_offset: bool) -> Vec<String> {
    let mut all = Vec::new();
    let mut page = Page::First;
    loop {
        let search = Search { filter: filter.clone(), sort: sort.to_vec(), page, limit, ..everything() };
        let found = room.search(ROOT, search).await.unwrap();
        all.extend(keys(&found));
        let Some(next) = found.next else { return all };
        page = if by_offset { Page::Offset(all.len() as u64) } else { Page::After(next) };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn filters_mean_what_they_say(all in prop::collection::vec(metadata(), 1..20), filters in prop::collection::vec(filter(), 1..12)) {
        Runtime::new().unwrap().block_on(async {
            let room = room().await;
            fill(&room, &all).await;
            for filter in filters {
                let wanted: Vec<String> = all.iter().enumerate().filter(|(n, m)| passes(&filter, *n, m)).map(|(n, _)| format!("n{n}")).collect();
                let search = Search { filter: filter.clone(), ..everything() };
                let found = room.search(ROOT, search.clone()).await.unwrap();
                assert_eq!(keys(&found), wanted, "{filter:?} of {all:?}");
                assert_eq!(found.count, Count::Exactly(wanted.len() as u64), "{filter:?}");
                let deep = room.search(ROOT, Search { scope: Scope::Descendants { max_depth: 1 }, ..search }).await.unwrap();
                assert_eq!(keys(&deep), wanted, "deep: {filter:?} of {all:?}");
            }
        });
    }

    #[test]
    fn pages_of_every_order_hold_every_node_once(
        all in prop::collection::vec(metadata(), 1..20), sorts in prop::collection::vec(sort(), 1..6),
        filter in prop_oneof![Just(Filter::all()), filter()], limit in 1u64..4,
    ) {
        Runtime::new().unwrap().block_on(async {
            let room = room().await;
            fill(&room, &all).await;
            for sort in sorts {
                let got = walk(&room, &filter, &sort, limit, false).await;
                assert_eq!(walk(&room, &filter, &sort, limit, true).await, got, "{sort:?} of {all:?}");
                let number = |key: &str| key[1..].parse::<usize>().unwrap();
                let mut numbers: Vec<usize> = got.iter().map(|key| number(key)).collect();
                let sorted = numbers.windows(2).all(|pair| {
                    let mut ordering = Ordering::Equal;
                    let mut told_apart = true;
                    for s in &sort {
                        let step = match &s.key {
                            SortKey::Value(path) => {
                                let (a, b) = (path.find(&all[pair[0]]), path.find(&all[pair[1]]));
                                let composite = |v: Option<&Value>| v.is_some_and(|v| v.is_array() || v.is_object());
                                told_apart &= !(composite(a) && composite(b));
                                order(a, b, s.descending)
                            }
                            SortKey::Key => {
                                let up = format!("n{}", pair[0]).cmp(&format!("n{}", pair[1]));
                                if s.descending { up.reverse() } else { up }
                            }
                            SortKey::Created => if s.descending { pair[1].cmp(&pair[0]) } else { pair[0].cmp(&pair[1]) },
                        };
                        ordering = ordering.then(step);
                    }
                    !told_apart || ordering.then(pair[0].cmp(&pair[1])).is_lt()
                });
                assert!(sorted, "{got:?} by {sort:?} of {all:?}");
                numbers.sort_unstable();
                let wanted: Vec<usize> = (0..all.len()).filter(|n| passes(&filter, *n, &all[*n])).collect();
                assert_eq!(numbers, wanted, "{sort:?}");
            }
        });
    }

    #[test]
    fn distinct_counts_add_up(all in prop::collection::vec(metadata(), 1..20), filter in filter(), path in key_path()) {
        Runtime::new().unwrap().block_on(async {
            let room = room().await;
            fill(&room, &all).await;
            let wants = DistinctWants { metadata: vec![path.clone()], families: true, specs: true, counts: true };
            let distinct = room.distinct(ROOT, filter.clone(), wants).await.unwrap();
            let mut naive: Vec<(Value, u64)> = Vec::new();
            for (_, metadata) in all.iter().enumerate().filter(|(n, m)| passes(&filter, *n, m)) {
                let found = path.find(metadata).cloned().unwrap_or_default();
                match naive.iter_mut().find(|(v, _)| value::equal(v, &found)) {
                    Some((_, count)) => *count += 1,
                    None => naive.push((found, 1)),
                }
            }
            let buckets = &distinct.metadata[0];
            assert_eq!(buckets.len(), naive.len());
            for bucket in buckets {
                let count = naive.iter().find(|(v, _)| value::equal(v, &bucket.value)).map(|(_, count)| *count);
                assert_eq!(count, bucket.count, "{:?}", bucket.value);
            }
        });
    }
}

#[tokio::test]
async fn a_cursor_of_another_order_is_refused() {
    let room = room().await;
    matrix(&room).await;
    let by_n = vec![by(SortKey::Value(KeyPath::parse("n").unwrap()), false)];
    let page = room.search(ROOT, Search { sort: by_n, limit: 2, ..everything() }).await.unwrap();
    let by_key = vec![by(SortKey::Key, false)];
    let search = Search { sort: by_key, page: Page::After(page.next.unwrap()), ..everything() };
    assert_eq!(room.search(ROOT, search).await.unwrap_err().kind(), girih_model::ErrorKind::Malformed);
}

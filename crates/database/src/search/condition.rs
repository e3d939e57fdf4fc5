//! A filter whose key paths are resolved, and its SQL.

use std::future::Future;
use std::pin::Pin;

use girih_model::filter::{KeyPath, Order, Term, Test, TextQuery, compile};
use girih_model::{Error, Filter, Result};
use serde_json::Value;
use sqlx::SqliteConnection;

use super::sql::Sql;
use super::{Room, Scope};
use crate::leaf::{FAMILY, KeyPaths, Kind, SPEC, Stored, WHOLE_TEXT, stored};

/// Longest LIKE pattern or text part, in bytes; SQLite refuses patterns above 50,000.
const MAX_PATTERN: usize = 10_000;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    /// One of these values stands at this place: points of the index.
    Points {
        path: i64,
        values: Vec<(Kind, Stored)>,
    },
    /// A value of this kind, in this order to `bound`: a range of the index.
    Range {
        at: Place,
        kind: Kind,
        order: Order,
        bound: Stored,
    },
    Present(Place),
    /// A text at this place that passes a test.
    Text {
        at: Place,
        test: TextTest,
    },
    Keys(Vec<String>),
    /// All of these terms in the texts.
    Words(Vec<Term>),
}

/// A place in the metadata that some node has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub path: i64,
    pub keys: KeyPath,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TextTest {
    Like(String),
    Part(String),
    Regex(String),
}

const NEVER: Condition = Condition::Or(Vec::new());

/// Looks up the key paths of a filter; one that no node has makes a condition that never holds.
pub(crate) fn resolve<'a>(
    filter: &'a Filter,
    db: &'a mut SqliteConnection,
    paths: &'a KeyPaths,
) -> Pin<Box<dyn Future<Output = Result<Condition>> + Send + 'a>> {
    Box::pin(async move {
        Ok(match filter {
            Filter::And(all) => {
                let mut flat = Vec::with_capacity(all.len());
                for condition in resolve_all(all, db, paths).await? {
                    // A nested AND must not hide what could lead the query.
                    match condition {
                        Condition::And(inner) => flat.extend(inner),
                        other => flat.push(other),
                    }
                }
                Condition::And(flat)
            }
            Filter::Or(any) => Condition::Or(resolve_all(any, db, paths).await?),
            Filter::Not(filter) => Condition::Not(Box::new(resolve(filter, db, paths).await?)),
            Filter::Value { at, test } => value(at, test, db, paths).await?,
            Filter::KeyIn(keys) => Condition::Keys(keys.clone()),
            Filter::Text(query) => text(query),
            Filter::Spec(name) => reserved(SPEC, name),
            Filter::Family(family) => reserved(FAMILY, family.name()),
            // Without an access policy no node carries a tag.
            Filter::AccessTag(_) => NEVER,
        })
    })
}

async fn resolve_all(filters: &[Filter], db: &mut SqliteConnection, paths: &KeyPaths) -> Result<Vec<Condition>> {
    let mut all = Vec::with_capacity(filters.len());
    for filter in filters {
        all.push(resolve(filter, db, paths).await?);
    }
    Ok(all)
}

fn reserved(path: i64, name: &str) -> Condition {
    Condition::Points { path, values: vec![(Kind::Text, Stored::Text(name.into()))] }
}

async fn value(at: &KeyPath, test: &Test, db: &mut SqliteConnection, paths: &KeyPaths) -> Result<Condition> {
    let place = paths.find(db, at, false).await?.map(|path| Place { path, keys: at.clone() });
    let points = |place: Option<Place>, values: &[Value]| match place {
        Some(place) if !values.is_empty() => {
            Condition::Points { path: place.path, values: values.iter().map(stored).collect() }
        }
        _ => NEVER,
    };
    let text = |place: Option<Place>, pattern: &str, test: fn(String) -> TextTest| {
        if pattern.len() > MAX_PATTERN {
            return Err(Error::malformed(format!("A pattern can be at most {MAX_PATTERN} bytes long.")));
        }
        Ok(place.map_or(NEVER, |at| Condition::Text { at, test: test(pattern.into()) }))
    };
    Ok(match test {
        Test::Present => place.map_or(NEVER, Condition::Present),
        Test::Eq(wanted) => points(place, std::slice::from_ref(wanted)),
        Test::In(wanted) => points(place, wanted),
        Test::Compare(order, Value::String(bound)) => place.map_or(NEVER, |at| Condition::Range {
            at,
            kind: Kind::Text,
            order: *order,
            bound: Stored::Text(bound.clone()),
        }),
        Test::Compare(order, bound) => match (place, stored(bound)) {
            (Some(at), (kind @ (Kind::Number | Kind::Bool), bound)) => {
                Condition::Range { at, kind, order: *order, bound }
            }
            _ => NEVER,
        },
        Test::Like(pattern) => text(place, &closed(pattern), TextTest::Like)?,
        Test::Regex { pattern, case_sensitive } => {
            // Said here, because SQLite would call it an internal error.
            compile(pattern, *case_sensitive)?;
            let pattern = if *case_sensitive { pattern.clone() } else { format!("(?i){pattern}") };
            text(place, &pattern, TextTest::Regex)?
        }
        Test::Contains(part) => {
            let element = paths.find(db, at, true).await?;
            let mut any = Vec::new();
            if let Some(path) = element {
                any.push(Condition::Points { path, values: vec![stored(part)] });
            }
            if let Value::String(part) = part {
                any.push(text(place, part, TextTest::Part)?);
                let inner = KeyPath(at.0.iter().cloned().chain([part.clone()]).collect());
                if let Some(path) = paths.find(db, &inner, false).await? {
                    any.push(Condition::Present(Place { path, keys: inner }));
                }
            }
            any.retain(|condition| *condition != NEVER);
            match any.len() {
                1 => any.swap_remove(0),
                _ => Condition::Or(any),
            }
        }
    })
}

/// A LIKE pattern that does not end in the middle of an escape.
fn closed(pattern: &str) -> String {
    let trailing = pattern.chars().rev().take_while(|c| *c == '\\').count();
    if trailing % 2 == 1 { format!("{pattern}\\") } else { pattern.to_owned() }
}

fn text(query: &TextQuery) -> Condition {
    let any = query.any.iter().map(|terms| {
        let (without, with): (Vec<&Term>, Vec<&Term>) = terms.iter().partition(|term| term.negated);
        let mut all: Vec<Condition> = without.iter().map(|term| Condition::Not(Box::new(words(&[term])))).collect();
        if !with.is_empty() {
            all.insert(0, words(&with));
        }
        if all.len() == 1 { all.swap_remove(0) } else { Condition::And(all) }
    });
    let mut any: Vec<_> = any.collect();
    if any.len() == 1 { any.swap_remove(0) } else { Condition::Or(any) }
}

fn words(terms: &[&Term]) -> Condition {
    Condition::Words(terms.iter().map(|term| Term { negated: false, ..(*term).clone() }).collect())
}

/// All of these terms, in FTS5's language: a phrase in quotes, `*` for a prefix. Words hold letters and digits only.
pub(crate) fn matching(terms: &[Term]) -> String {
    let phrases =
        terms.iter().map(|term| format!("\"{}\"{}", term.words.join(" "), if term.prefix { "*" } else { "" }));
    phrases.collect::<Vec<_>>().join(" AND ")
}

impl Place {
    /// The place as SQLite's JSON functions address it; `None` for keys that they cannot address.
    pub fn json_path(&self) -> Option<String> {
        let plain = |key: &String| !key.contains(['"', '\\']) && !key.chars().any(char::is_control);
        let path = || self.keys.0.iter().fold("$".to_owned(), |path, key| format!("{path}.\"{key}\""));
        self.keys.0.iter().all(plain).then(path)
    }
}

impl Condition {
    pub fn is_always(&self) -> bool {
        matches!(self, Self::And(all) if all.iter().all(Self::is_always))
    }

    /// Whether full text is asked for, whose index knows nothing of containers.
    pub fn has_words(&self) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().any(Self::has_words),
            Self::Not(inner) => inner.has_words(),
            Self::Words(_) => true,
            _ => false,
        }
    }

    /// Both must hold.
    pub fn and(&self, other: Self) -> Self {
        Self::And(self.conjuncts().iter().cloned().chain([other]).collect())
    }

    /// Whether this is about words alone, and such that we tell apart as the index does.
    pub fn is_of_words(&self) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => !all.is_empty() && all.iter().all(Self::is_of_words),
            Self::Not(inner) => inner.is_of_words(),
            Self::Words(terms) => terms.iter().flat_map(|term| &term.words).all(|word| word.is_ascii()),
            _ => false,
        }
    }

    /// Whether texts with these words pass; for conditions about words alone.
    pub fn holds_for(&self, texts: &[Vec<String>]) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds_for(texts)),
            Self::Or(any) => any.iter().any(|one| one.holds_for(texts)),
            Self::Not(inner) => !inner.holds_for(texts),
            Self::Words(terms) => terms.iter().all(|term| term.occurs(texts)),
            _ => false,
        }
    }

    /// The conditions that must all hold.
    pub fn conjuncts(&self) -> &[Condition] {
        match self {
            Self::And(all) => all,
            one => std::slice::from_ref(one),
        }
    }

    /// The index rows of the nodes that pass, when they are a range or a point of each container.
    pub fn leaves(&self, room: &Room) -> Option<Sql> {
        let mut sql = match room.scope {
            Scope::Children => {
                let mut sql = Sql::new("FROM leaf WHERE parent = ");
                sql.bind(room.parent.id.0);
                sql
            }
            Scope::Descendants { .. } => {
                let mut sql = Sql::new("FROM (");
                sql.add(&room.containers()).push(") c CROSS JOIN leaf WHERE leaf.parent = c.container");
                sql
            }
        };
        sql.push(" AND path = ");
        match self {
            Self::Points { path, values } => {
                sql.bind(*path).push(" AND ").add(&among(values, "kind", "value"));
            }
            Self::Range { at, kind, order, bound } => {
                sql.bind(at.path).push(" AND kind = ").bind(*kind as i64);
                if self.is_exact() {
                    sql.push(format!(" AND value {} ", operator(*order))).value(bound.clone());
                }
            }
            Self::Present(at) => {
                sql.bind(at.path);
            }
            _ => return None,
        }
        Some(sql)
    }

    /// The index rows alone tell who passes: all but a comparison with a text that is too long for the index.
    pub fn is_exact(&self) -> bool {
        !matches!(self, Self::Range { bound: Stored::Text(text), .. } if text.len() >= WHOLE_TEXT)
    }

    /// `SELECT` of the index rows when this condition is nothing but one of those; each node has one row there.
    pub fn sole_leaves(&self, room: &Room) -> Option<Sql> {
        let [only] = self.conjuncts() else { return None };
        if room.scope != Scope::Children || !only.is_exact() {
            return None;
        }
        let mut sql = Sql::new("SELECT 1 ");
        sql.add(&only.leaves(room)?);
        Some(sql)
    }

    /// As a condition on a node; `answered` is what the query's driver has answered already.
    pub fn sql(&self, tested: &Tested, answered: Option<&Condition>) -> Sql {
        if answered == Some(self) {
            return Sql::new("1");
        }
        match self {
            Self::And(all) => joined(all, " AND ", "1", tested, answered),
            Self::Or(any) => joined(any, " OR ", "0", tested, None),
            Self::Not(inner) => {
                // What is missing makes NULL of a test, which NOT would keep.
                let mut sql = Sql::new("((");
                sql.add(&inner.sql(tested, None)).push(") IS NOT TRUE)");
                sql
            }
            Self::Points { path, values } => {
                let mut sql = tested.leaf(*path);
                sql.push(" AND ").add(&among(values, "kind", "value")).push(")");
                sql
            }
            Self::Range { at, kind, order, bound } => range(tested, at, *kind, *order, bound),
            Self::Present(at) => match at.json_path() {
                Some(path) => {
                    let mut sql = Sql::new("json_type(n.metadata, ");
                    sql.text(path).push(") IS NOT NULL");
                    sql
                }
                None => at_leaf(tested, at, &Sql::new("1")),
            },
            Self::Text { at, test } => text_test(tested, at, test),
            Self::Keys(keys) => {
                let mut sql = Sql::new("n.key IN (");
                for (n, key) in keys.iter().enumerate() {
                    sql.push(if n > 0 { ", " } else { "" }).text(key.clone());
                }
                sql.push(")");
                sql
            }
            Self::Words(terms) => {
                let mut sql = Sql::new("EXISTS (SELECT 1 FROM words WHERE words MATCH ");
                sql.text(matching(terms)).push(" AND rowid = ").add(&tested.id).push(")");
                sql
            }
        }
    }
}

/// How a query calls the node that it tests. What the index can tell is asked of the index, so that the node itself is
/// not fetched for it.
pub(crate) struct Tested {
    /// The node's number.
    pub id: Sql,
    /// The number of its parent.
    pub parent: Sql,
}

impl Tested {
    /// The beginning of a question for an index row of the node.
    fn leaf(&self, path: i64) -> Sql {
        let mut sql = Sql::new("EXISTS (SELECT 1 FROM leaf WHERE parent = ");
        sql.add(&self.parent).push(" AND node = ").add(&self.id).push(" AND path = ").bind(path);
        sql
    }
}

fn joined(conditions: &[Condition], with: &str, empty: &str, tested: &Tested, answered: Option<&Condition>) -> Sql {
    if conditions.is_empty() {
        return Sql::new(empty);
    }
    let mut sql = Sql::new("(");
    for (n, condition) in conditions.iter().enumerate() {
        sql.push(if n > 0 { with } else { "" }).add(&condition.sql(tested, answered));
    }
    sql.push(")");
    sql
}

/// `(kind, value)` is one of these.
fn among(values: &[(Kind, Stored)], kind: &str, value: &str) -> Sql {
    if let [(k, v)] = values {
        let mut sql = Sql::new(format!("{kind} = "));
        sql.bind(*k as i64).push(format!(" AND {value} = ")).value(v.clone());
        return sql;
    }
    let mut kinds: Vec<Kind> = values.iter().map(|(kind, _)| *kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut sql = Sql::new("(");
    for (n, k) in kinds.iter().enumerate() {
        sql.push(if n > 0 { " OR " } else { "" });
        sql.push(format!("{kind} = ")).bind(*k as i64).push(format!(" AND {value} IN ("));
        for (n, (_, v)) in values.iter().filter(|(kind, _)| kind == k).enumerate() {
            sql.push(if n > 0 { ", " } else { "" }).value(v.clone());
        }
        sql.push(")");
    }
    sql.push(")");
    sql
}

fn operator(order: Order) -> &'static str {
    match order {
        Order::Lt => "<",
        Order::Le => "<=",
        Order::Gt => ">",
        Order::Ge => ">=",
    }
}

/// A test on the index row of this node: for places that JSON functions cannot address.
fn at_leaf(tested: &Tested, at: &Place, test: &Sql) -> Sql {
    let mut sql = tested.leaf(at.path);
    sql.push(" AND ").add(test).push(")");
    sql
}

fn range(tested: &Tested, at: &Place, kind: Kind, order: Order, bound: &Stored) -> Sql {
    let op = operator(order);
    let Some(path) = at.json_path() else {
        let mut test = Sql::new("kind = ");
        test.bind(kind as i64).push(format!(" AND value {op} ")).value(bound.clone());
        return at_leaf(tested, at, &test);
    };
    let types = match kind {
        Kind::Number => "'integer', 'real'",
        Kind::Text => "'text'",
        Kind::Bool => "'true', 'false'",
        Kind::Composite | Kind::Null => unreachable!("only ordered kinds make a range"),
    };
    let mut sql = Sql::new("(json_type(n.metadata, ");
    sql.text(path.clone()).push(format!(") IN ({types}) AND json_extract(n.metadata, ")).text(path);
    sql.push(format!(") {op} ")).value(bound.clone()).push(")");
    sql
}

fn text_test(tested: &Tested, at: &Place, test: &TextTest) -> Sql {
    let apply = |value: &Sql| {
        let mut sql = Sql::default();
        match test {
            TextTest::Like(pattern) => sql.add(value).push(" LIKE ").text(pattern.clone()).push(" ESCAPE '\\'"),
            TextTest::Part(part) => {
                sql.push("instr(lower(").add(value).push("), ").text(part.to_ascii_lowercase()).push(") > 0")
            }
            TextTest::Regex(pattern) => sql.add(value).push(" REGEXP ").text(pattern.clone()),
        };
        sql
    };
    let Some(path) = at.json_path() else {
        let mut test = Sql::new("kind = ");
        test.bind(Kind::Text as i64).push(" AND ").add(&apply(&Sql::new("value")));
        return at_leaf(tested, at, &test);
    };
    let mut value = Sql::new("json_extract(n.metadata, ");
    value.text(path.clone()).push(")");
    let mut sql = Sql::new("(json_type(n.metadata, ");
    sql.text(path).push(") = 'text' AND ").add(&apply(&value)).push(")");
    sql
}

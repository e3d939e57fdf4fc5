//! The queries of the protocol and how each lowers to [`Filter`]. To add one: write
//! `query/<name>.rs`, add its line to [`QUERIES`].
//!
//! In a URL a query is `filter[<name>][condition][<field>]=<value>`; repeating all fields of a filter
//! adds another instance, paired by position, and all must hold. In JSON, as in the conditions of
//! `and`, `or` and `not`, it is `{"<name>": {"<field>": <value>}}`.

mod access_tags;
mod comparison;
mod composition;
mod contains;
mod eq;
mod fulltext;
mod keypresent;
mod keys;
mod like;
mod membership;
mod regex;
mod specs;
mod structure_family;

use serde_json::{Map, Value};

use crate::error::{Error, Result, ResultExt};
use crate::filter::{Filter, KeyPath};

/// Every query, in the order in which the server lists them.
pub const QUERIES: &[Query] = &[
    fulltext::FULLTEXT,
    keys::LOOKUP,
    keys::KEYS_FILTER,
    regex::REGEX,
    eq::EQ,
    eq::NOTEQ,
    comparison::COMPARISON,
    contains::CONTAINS,
    membership::IN,
    membership::NOTIN,
    keypresent::KEYPRESENT,
    like::LIKE,
    specs::SPECS,
    access_tags::ACCESS_TAGS_FILTER,
    structure_family::STRUCTURE_FAMILY,
    composition::AND,
    composition::OR,
    composition::NOT,
];

/// Most conditions of one request, those inside others included.
const MAX_CONDITIONS: usize = 256;
/// Most values in the lists of all conditions together.
const MAX_VALUES: usize = 10_000;
/// Deepest composition.
const MAX_DEPTH: usize = 16;

/// One query type.
pub struct Query {
    pub name: &'static str,
    pub fields: &'static [Field],
    lower: fn(&Arguments, &mut Budget) -> Result<Filter>,
}

pub struct Field {
    pub name: &'static str,
    pub kind: FieldKind,
    pub required: bool,
}

/// How a field is written in a URL; in JSON it is a string, any value, or a boolean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// As it is.
    Text,
    /// JSON: texts need quotes.
    Json,
    Bool,
}

impl Field {
    const fn text(name: &'static str) -> Self {
        Self { name, kind: FieldKind::Text, required: true }
    }

    const fn json(name: &'static str) -> Self {
        Self { name, kind: FieldKind::Json, required: true }
    }

    const fn bool(name: &'static str) -> Self {
        Self { name, kind: FieldKind::Bool, required: true }
    }

    const fn optional(self) -> Self {
        Self { required: false, ..self }
    }
}

/// Names of all queries.
pub fn names() -> impl Iterator<Item = &'static str> {
    QUERIES.iter().map(|query| query.name)
}

/// Reads all filters among the parameters of a URL; parameters of other names do not matter.
///
/// # Errors
/// `Malformed` for unknown filters or fields, missing fields, and values that cannot be read.
pub fn parse<'p>(parameters: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Filter> {
    let mut given: Vec<(&Query, Vec<Vec<&str>>)> = Vec::new();
    for (name, value) in parameters {
        if !name.starts_with("filter[") {
            continue;
        }
        let (query, field) = address(name)?;
        let place = match given.iter().position(|(q, _)| q.name == query.name) {
            Some(place) => place,
            None => {
                given.push((query, vec![Vec::new(); query.fields.len()]));
                given.len() - 1
            }
        };
        given[place].1[field].push(value);
    }
    let mut budget = Budget { conditions: MAX_CONDITIONS, values: MAX_VALUES, depth: MAX_DEPTH };
    let mut all = Vec::new();
    for (query, values) in given {
        let instances = values.iter().map(Vec::len).max().unwrap_or_default();
        for (field, values) in query.fields.iter().zip(&values) {
            if values.len() != instances && (field.required || !values.is_empty()) {
                return Err(Error::malformed(format!(
                    "The filter {:?} needs all its fields the same number of times, but filter[{}][condition][{}] is given {} times and another {} times.",
                    query.name,
                    query.name,
                    field.name,
                    values.len(),
                    instances
                )));
            }
        }
        for instance in 0..instances {
            let mut arguments = Arguments { query, values: Map::new() };
            for (field, values) in query.fields.iter().zip(&values) {
                if let Some(text) = values.get(instance) {
                    arguments.values.insert(field.name.into(), read(query, field, text)?);
                }
            }
            all.push(arguments.lower(&mut budget)?);
        }
    }
    Ok(match all.len() {
        1 => all.swap_remove(0),
        _ => Filter::And(all),
    })
}

/// `filter[eq][condition][key]` is the field `key` of `eq`.
fn address(name: &str) -> Result<(&'static Query, usize)> {
    let bad = || {
        Error::malformed(format!("{name:?} is not a filter. Filters are written filter[NAME][condition][FIELD]=VALUE."))
    };
    let inner = name.strip_prefix("filter[").and_then(|rest| rest.strip_suffix(']')).ok_or_else(bad)?;
    let (filter, field) = inner.split_once("][condition][").ok_or_else(bad)?;
    let query = find(filter)?;
    let field = query.fields.iter().position(|f| f.name == field).ok_or_else(|| query.no_field(field))?;
    Ok((query, field))
}

fn find(name: &str) -> Result<&'static Query> {
    QUERIES.iter().find(|query| query.name == name).ok_or_else(|| {
        let names: Vec<_> = names().collect();
        Error::malformed(format!("There is no query {name:?}. Known are {}.", names.join(", ")))
    })
}

fn read(query: &Query, field: &Field, text: &str) -> Result<Value> {
    let what = || format!("filter[{}][condition][{}]={text}", query.name, field.name);
    match field.kind {
        FieldKind::Text => Ok(Value::String(text.into())),
        FieldKind::Json => serde_json::from_str(text)
            .or_error(|e| Error::malformed(format!("{} is not JSON ({e}). Texts need quotes, as in \"red\".", what()))),
        FieldKind::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(Value::Bool(true)),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(Value::Bool(false)),
            _ => Err(Error::unprocessable(format!("{} is neither true nor false.", what()))),
        },
    }
}

impl Query {
    fn no_field(&self, field: &str) -> Error {
        let fields: Vec<_> = self.fields.iter().map(|field| field.name).collect();
        Error::malformed(format!(
            "The query {:?} has no field {field:?}. Its fields are {}.",
            self.name,
            fields.join(", ")
        ))
    }
}

/// What a request may still ask for.
pub struct Budget {
    conditions: usize,
    values: usize,
    depth: usize,
}

impl Budget {
    fn conditions(&mut self, n: usize) -> Result<()> {
        self.conditions = self.conditions.checked_sub(n).ok_or_else(|| {
            Error::malformed(format!("A search can have at most {MAX_CONDITIONS} conditions, specs and words."))
        })?;
        Ok(())
    }

    fn values(&mut self, n: usize) -> Result<()> {
        self.values = self
            .values
            .checked_sub(n)
            .ok_or_else(|| Error::malformed(format!("A search can list at most {MAX_VALUES} values and keys.")))?;
        Ok(())
    }
}

/// The fields of one instance.
pub struct Arguments {
    query: &'static Query,
    values: Map<String, Value>,
}

impl Arguments {
    /// Reads `{"eq": {"key": "color", "value": "red"}}`.
    fn from_json(json: &Value) -> Result<Self> {
        let entry = json.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
        let (name, fields) = entry.ok_or_else(|| {
            Error::malformed(
                "A condition is an object with one query, as in {\"eq\": {\"key\": \"color\", \"value\": \"red\"}}.",
            )
        })?;
        let query = find(name)?;
        let fields = fields
            .as_object()
            .ok_or_else(|| Error::malformed(format!("The fields of the query {name:?} must be an object.")))?;
        if let Some(field) = fields.keys().find(|key| query.fields.iter().all(|field| field.name != key.as_str())) {
            return Err(query.no_field(field));
        }
        Ok(Self { query, values: fields.clone() })
    }

    fn lower(&self, budget: &mut Budget) -> Result<Filter> {
        budget.conditions(1)?;
        (self.query.lower)(self, budget)
    }

    /// Conditions inside this one.
    fn inner(&self, conditions: &[Value], budget: &mut Budget) -> Result<Vec<Filter>> {
        budget.depth = budget
            .depth
            .checked_sub(1)
            .ok_or_else(|| Error::malformed(format!("Conditions can be nested at most {MAX_DEPTH} levels deep.")))?;
        let all = conditions.iter().map(|json| Self::from_json(json)?.lower(budget)).collect();
        budget.depth += 1;
        all
    }

    fn value(&self, field: &str) -> Result<&Value> {
        self.values
            .get(field)
            .ok_or_else(|| Error::malformed(format!("The query {:?} needs the field {field:?}.", self.query.name)))
    }

    fn text(&self, field: &str) -> Result<&str> {
        let value = self.value(field)?;
        value.as_str().ok_or_else(|| self.wrong(field, "a text", value))
    }

    fn bool(&self, field: &str) -> Result<bool> {
        let value = self.value(field)?;
        value.as_bool().ok_or_else(|| self.wrong(field, "true or false", value))
    }

    fn list(&self, field: &str) -> Result<&[Value]> {
        let value = self.value(field)?;
        value.as_array().map(Vec::as_slice).ok_or_else(|| self.wrong(field, "a list", value))
    }

    fn texts(&self, field: &str) -> Result<Vec<String>> {
        let texts = self
            .list(field)?
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| self.wrong(field, "a list of texts", item)));
        texts.collect()
    }

    /// The field `key`.
    fn key(&self) -> Result<KeyPath> {
        KeyPath::parse(self.text("key")?)
    }

    fn has(&self, field: &str) -> bool {
        self.values.contains_key(field)
    }

    fn wrong(&self, field: &str, wanted: &str, given: &Value) -> Error {
        Error::malformed(format!(
            "The field {field:?} of the query {:?} must be {wanted}, not {given}.",
            self.query.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::filter::{Facts, Test};
    use crate::structure::Family;

    /// The filter of a query string whose parameters are joined by `&` and not encoded.
    fn read(text: &str) -> Result<Filter> {
        parse(text.split('&').filter_map(|pair| pair.split_once('=')))
    }

    fn check(query: &str, metadata: Value, hit: bool) {
        let specs = [crate::Spec { name: "foo".into(), version: None }];
        let node = Facts { key: "k", metadata: &metadata, specs: &specs, family: Family::Array };
        assert_eq!(read(query).unwrap().matches(&node).unwrap(), hit, "{query} {metadata}");
    }

    #[test]
    fn every_query_in_its_url_form() {
        check("filter[fulltext][condition][text]=quick fox", json!({"t": "the Quick fox"}), true);
        check("filter[lookup][condition][key]=k", json!({}), true);
        check("filter[keys_filter][condition][keys]=[\"a\",\"k\"]", json!({}), true);
        check(
            "filter[regex][condition][key]=t&filter[regex][condition][pattern]=^Q&filter[regex][condition][case_sensitive]=false",
            json!({"t": "quick"}),
            true,
        );
        check("filter[eq][condition][key]=a.b&filter[eq][condition][value]=2", json!({"a": {"b": 2.0}}), true);
        check("filter[noteq][condition][key]=a&filter[noteq][condition][value]=2", json!({"a": null}), true);
        check("filter[noteq][condition][key]=a&filter[noteq][condition][value]=2", json!({}), false);
        check(
            "filter[comparison][condition][operator]=lt&filter[comparison][condition][key]=a&filter[comparison][condition][value]=2",
            json!({"a": 1}),
            true,
        );
        check("filter[contains][condition][key]=a&filter[contains][condition][value]=\"x\"", json!({"a": ["x"]}), true);
        check("filter[in][condition][key]=a&filter[in][condition][value]=[1,2]", json!({"a": 2}), true);
        check("filter[notin][condition][key]=a&filter[notin][condition][value]=[1,2]", json!({"a": 3}), true);
        check("filter[notin][condition][key]=a&filter[notin][condition][value]=[1,2]", json!({}), false);
        check("filter[keypresent][condition][key]=a&filter[keypresent][condition][exists]=false", json!({}), true);
        check("filter[like][condition][key]=a&filter[like][condition][pattern]=\"x%\"", json!({"a": "Xyz"}), true);
        check(
            "filter[specs][condition][include]=[\"foo\"]&filter[specs][condition][exclude]=[\"bar\"]",
            json!({}),
            true,
        );
        check("filter[specs][condition][include]=[]&filter[specs][condition][exclude]=[\"foo\"]", json!({}), false);
        check("filter[access_tags_filter][condition][tags]=[]", json!({}), false);
        check("filter[structure_family][condition][value]=array", json!({}), true);
        check(
            "filter[or][condition][queries]=[{\"eq\":{\"key\":\"a\",\"value\":1}},{\"not\":{\"query\":{\"lookup\":{\"key\":\"k\"}}}}]",
            json!({"a": 1}),
            true,
        );
        check("filter[and][condition][queries]=[]", json!({}), true);
    }

    #[test]
    fn repeated_fields_pair_by_position_and_all_must_hold() {
        let query = "filter[eq][condition][key]=a&filter[eq][condition][key]=b&filter[eq][condition][value]=1&filter[eq][condition][value]=2";
        check(query, json!({"a": 1, "b": 2}), true);
        check(query, json!({"a": 2, "b": 1}), false);
        assert_eq!(read("other=1&page[limit]=2").unwrap(), Filter::all());
    }

    #[test]
    fn mistakes_are_named() {
        for (query, message) in [
            ("filter[eq][condition][key]=a", "value"),
            ("filter[eq][condition][value]=1", "key"),
            ("filter[eq][condition][key]=a&filter[eq][condition][value]=red", "quotes"),
            ("filter[nope][condition][key]=a", "nope"),
            ("filter[eq][condition][nope]=a", "nope"),
            ("filter[eq]=a", "filter[NAME]"),
            ("filter[keypresent][condition][key]=a&filter[keypresent][condition][exists]=maybe", "neither"),
            ("filter[in][condition][key]=a&filter[in][condition][value]=1", "a list"),
            (
                "filter[comparison][condition][operator]=like&filter[comparison][condition][key]=a&filter[comparison][condition][value]=2",
                "lt",
            ),
            (
                "filter[comparison][condition][operator]=lt&filter[comparison][condition][key]=a&filter[comparison][condition][value]=[]",
                "ordered",
            ),
            ("filter[structure_family][condition][value]=dataframe", "dataframe"),
            ("filter[regex][condition][key]=a&filter[regex][condition][pattern]=(", "not valid"),
            ("filter[or][condition][queries]=[1]", "one query"),
            ("filter[or][condition][queries]=[{\"eq\":{\"key\":\"a\"}}]", "value"),
            ("filter[like][condition][key]=&filter[like][condition][pattern]=\"x\"", "metadata key"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.message().contains(message), "{query}: {}", error.message());
        }
    }

    #[test]
    fn compositions_have_limits() {
        let mut deep = json!({"lookup": {"key": "k"}});
        for _ in 0..20 {
            deep = json!({"not": {"query": deep}});
        }
        assert!(read(&format!("filter[not][condition][query]={deep}")).is_err());
        let wide = Value::Array(vec![json!({"lookup": {"key": "k"}}); 300]);
        assert!(read(&format!("filter[or][condition][queries]={wide}")).is_err());
    }

    #[test]
    fn a_json_value_of_any_type_can_be_looked_for() {
        let query = "filter[eq][condition][key]=a&filter[eq][condition][value]={\"x\":[1,null]}";
        let Filter::Value { test: Test::Eq(value), .. } = read(query).unwrap() else { panic!() };
        assert_eq!(value, json!({"x": [1, null]}));
    }

    proptest! {
        #[test]
        fn reading_never_panics(name in prop::sample::select(names().collect::<Vec<_>>()), field in "[a-z]{0,8}", value in ".{0,40}") {
            let _ = parse([(format!("filter[{name}][condition][{field}]").as_str(), value.as_str())]);
            let query = find(name).unwrap();
            let all: Vec<String> = query.fields.iter().map(|f| format!("filter[{name}][condition][{}]", f.name)).collect();
            let _ = parse(all.iter().map(|name| (name.as_str(), value.as_str())));
        }
    }
}

//! `sort=-color&sort=id`: in which order entries are listed.

use girih_engine::search::{Sort, SortKey};
use girih_model::filter::KeyPath;
use girih_model::{Error, Result};

use crate::query::QueryString;

/// Most keys of one order.
const MAX_KEYS: usize = 16;

/// Repeatable; `-` before a key reverses it. The empty key is the order of creation and comes last;
/// `id` is the node's key; everything else is a path into the metadata, with or without `metadata.`
/// before it, in which `\.`, `\,` and `\\` stand for the characters themselves.
pub(crate) fn parse(query: &QueryString) -> Result<Vec<Sort>> {
    let mut sorts: Vec<Sort> = Vec::new();
    for text in query.all("sort") {
        let descending = text.starts_with('-');
        let name = text.strip_prefix(['-', '+', ' ']).unwrap_or(text);
        let key = key(name)?;
        if sorts.iter().any(|sort| sort.key == key) {
            return Err(Error::malformed(format!("Duplicate sorting key: {name}")));
        }
        if sorts.len() >= MAX_KEYS {
            return Err(Error::malformed(format!("At most {MAX_KEYS} sorting keys are allowed.")));
        }
        sorts.push(Sort { key, descending });
    }
    let last = sorts.len().saturating_sub(1);
    if sorts.iter().take(last).any(|sort| sort.key == SortKey::Created) {
        return Err(Error::malformed("Default sorting (empty string) must be the last item in the sort list"));
    }
    Ok(sorts)
}

fn key(name: &str) -> Result<SortKey> {
    Ok(match name {
        "" => SortKey::Created,
        "id" => SortKey::Key,
        name => {
            let path = name.strip_prefix("metadata.").filter(|rest| !rest.is_empty()).unwrap_or(name);
            if has_bare_comma(path) {
                return Err(Error::unprocessable(format!(
                    "sort={name:?} has a comma. To sort by several keys, repeat the parameter: sort=a&sort=b. A comma within a key is written \"\\,\"."
                )));
            }
            SortKey::Value(KeyPath::parse(&path.replace("\\,", ","))?)
        }
    })
}

fn has_bare_comma(path: &str) -> bool {
    let mut escaped = false;
    path.chars().any(|c| {
        let bare = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        bare
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: &str) {
        let sorts = parse(&QueryString::parse(Some(query)).unwrap()).map(|sorts| {
            let show = |sort: &Sort| {
                let key = match &sort.key {
                    SortKey::Created => "created".into(),
                    SortKey::Key => "key".into(),
                    SortKey::Value(path) => format!("{:?}", path.0),
                };
                format!("{}{key}", if sort.descending { "-" } else { "" })
            };
            sorts.iter().map(show).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(sorts.unwrap_or_else(|e| format!("{:?}", e.kind())), expected, "{query}");
    }

    #[test]
    fn orders() {
        check("", "");
        check("sort=-id&sort=color", "-key [\"color\"]");
        check("sort=%2Ba.b&sort=-", "[\"a\", \"b\"] -created");
        check("sort=+a", "[\"a\"]");
        check("sort=metadata.x&sort=metadata", "[\"x\"] [\"metadata\"]");
        check("sort=a%5C.b&sort=a%5C,b&sort=%C3%A9+x", "[\"a.b\"] [\"a,b\"] [\"é x\"]");
    }

    #[test]
    fn nonsense_is_refused() {
        check("sort=&sort=a", "Malformed");
        check("sort=a&sort=-a", "Malformed");
        check("sort=a&sort=metadata.a", "Malformed");
        check("sort=a,b", "Unprocessable");
        check(&(0..17).map(|n| format!("sort=k{n}")).collect::<Vec<_>>().join("&"), "Malformed");
    }
}

//! `$VAR` and `${VAR}` in values.

use girih_model::Result;

use super::yaml::{Node, Value};

/// Replaces variables in all texts; `$$` is a dollar sign. Keys are left alone.
///
/// # Errors
/// A variable that is not set.
pub(super) fn variables(node: &mut Node, env: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    if let Value::Text(text) = &node.value
        && text.contains('$')
    {
        node.value = Value::Text(expand(text, env).map_err(|what| node.error(what))?);
    }
    match &mut node.value {
        Value::List(items) => items.iter_mut().try_for_each(|item| variables(item, env)),
        Value::Map(entries) => entries.iter_mut().try_for_each(|(_, value)| variables(value, env)),
        _ => Ok(()),
    }
}

fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').ok_or_else(|| format!("{text:?} has a ${{ without its }}"))?,
            None => after.split_at(after.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(after.len())),
        };
        if name.is_empty() {
            return Err(format!("{text:?} has a $ without a name after it; write $$ for a dollar sign"));
        }
        let value = env(name).ok_or_else(|| format!("the environment variable {name} is not set"))?;
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_their_values() {
        let env = |name: &str| (name == "HOME_1").then(|| "/h$X".to_owned());
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("$HOME_1/data", Ok("/h$X/data")),
            ("a${HOME_1}b$HOME_1", Ok("a/h$Xb/h$X")),
            ("5$$", Ok("5$")),
            ("$NOPE", Err("NOPE is not set")),
            ("${NOPE}", Err("NOPE is not set")),
            ("${HOME_1", Err("without its }")),
            ("a$ b", Err("write $$")),
            ("$é", Err("write $$")),
        ] {
            match (expand(text, &env), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}

//! The part of a URL after the question mark.

use std::ops::RangeInclusive;

use girih_model::{Error, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Names and values, decoded, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueryString(Vec<(String, String)>);

/// What a value (or a name) must not contain literally; brackets stay, as the protocol writes `page[limit]`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'[')
    .remove(b']')
    .remove(b'/')
    .remove(b':')
    .remove(b',');

impl QueryString {
    pub(crate) fn parse(raw: Option<&str>) -> Result<Self> {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced)
                .decode_utf8()
                .map(String::from)
                .map_err(|_| Error::malformed(format!("The query parameter {text:?} is not percent-encoded UTF-8.")))
        };
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        Ok(Self(pairs.collect::<Result<_>>()?))
    }

    /// All parameters, in their order.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The value of a parameter that counts once; the last one wins.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All values of a repeatable parameter; `None` when it does not occur.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<String>> {
        let values: Vec<_> = self.all(name).map(String::from).collect();
        (!values.is_empty()).then_some(values)
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str> {
        self.one(name).ok_or_else(|| Error::unprocessable(format!("The query parameter {name:?} is required.")))
    }

    pub(crate) fn integer(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(text) = self.one(name) else { return Ok(None) };
        text.trim().parse().ok().filter(|n| range.contains(n)).map(Some).ok_or_else(|| {
            let (from, to) = range.into_inner();
            let limits =
                if to >= i64::MAX as u64 { format!("of at least {from}") } else { format!("from {from} to {to}") };
            Error::unprocessable(format!("{name}={text:?} is not an integer {limits}."))
        })
    }

    /// A number that identifies something (an asset, a revision).
    pub(crate) fn id(&self, name: &str) -> Result<i64> {
        let text = self.required(name)?;
        text.trim().parse().map_err(|_| Error::unprocessable(format!("{name}={text:?} is not an integer.")))
    }

    pub(crate) fn boolean(&self, name: &str, default: bool) -> Result<bool> {
        let Some(text) = self.one(name) else { return Ok(default) };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
            _ => Err(Error::unprocessable(format!("{name}={text:?} is not a boolean: use true or false."))),
        }
    }
}

/// `?name=value&…`, encoded; nothing for no parameters.
pub(crate) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.extend(utf8_percent_encode(name, RESERVED));
        text.push('=');
        text.extend(utf8_percent_encode(value, RESERVED));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_decoded_once() {
        let query = QueryString::parse(Some("a=1+2&a=%2B%2525&b&page%5Blimit%5D=5&c=%C3%A9")).unwrap();
        assert_eq!(query.list("a").unwrap(), ["1 2", "+%25"]);
        assert_eq!(query.one("b"), Some(""));
        assert_eq!(query.integer("page[limit]", 0..=300).unwrap(), Some(5));
        assert_eq!(query.one("c"), Some("é"));
        assert!(QueryString::parse(Some("a=%ff")).is_err());
    }

    #[test]
    fn nonsense_is_named() {
        let query = QueryString::parse(Some("n=301&m=-1&x=x&b=maybe&ok=YES")).unwrap();
        assert_eq!(query.integer("n", 0..=300).unwrap_err().message(), "n=\"301\" is not an integer from 0 to 300.");
        assert_eq!(
            query.integer("m", 0..=u64::MAX).unwrap_err().message(),
            "m=\"-1\" is not an integer of at least 0."
        );
        assert!(query.id("x").is_err() && query.id("absent").is_err() && query.boolean("b", true).is_err());
        assert!(query.boolean("ok", false).unwrap() && query.boolean("absent", true).unwrap());
    }

    proptest! {
        #[test]
        fn encoding_and_parsing_are_inverse(pairs in prop::collection::vec((".{1,8}", ".{0,8}"), 0..4)) {
            let text = encode(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            let back = QueryString::parse(text.strip_prefix('?')).unwrap();
            prop_assert_eq!(back.pairs(), &pairs[..]);
        }
    }
}

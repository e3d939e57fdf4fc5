//! What we know about the program at the other end, from `User-Agent: python-tiled/<version>`.

use axum::http::{HeaderMap, header};
use girih_model::{Error, Result};

/// Oldest Python client that understands us.
const OLDEST: Version = Version { release: [0, 1, 0], pre: Some((b'a', 104)) };

/// A Python version number as far as it matters here (PEP 440): release, pre-release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    release: [u32; 3],
    /// `a`, `b` or `r` (for `rc`), and its number; `None` for the release itself, which comes after them.
    pre: Option<(u8, u32)>,
}

/// What this client cannot take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Before 0.2.13: assets have no size.
    pub(crate) no_asset_size: bool,
    /// Before 0.2.4: data sources have no properties.
    pub(crate) no_properties: bool,
    /// Before 0.2.19: `access_blob` instead of `access_tags`.
    pub(crate) access_blob: bool,
    /// All Python clients: they read a file name in its plain form only, but as UTF-8.
    pub(crate) plain_filename: bool,
}

impl Dialect {
    /// # Errors
    /// `Malformed` for a client that is too old.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self> {
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let Some(text) = agent.and_then(|agent| agent.strip_prefix("python-tiled/")) else {
            return Ok(Self::default());
        };
        let text = text.split_whitespace().next().unwrap_or_default();
        let Some(version) = Version::parse(text) else {
            tracing::debug!(version = text, "the client's version cannot be read");
            return Ok(Self { plain_filename: true, ..Self::default() });
        };
        if version.order() < OLDEST.order() && !text.contains("dev") {
            return Err(Error::malformed(format!(
                "Python Tiled client reports version {text}. Version 0.1.0a104 or higher is needed to communicate with this Tiled server."
            )));
        }
        let before = |minor| version.order() < Version { release: [0, 2, minor], pre: None }.order();
        Ok(Self { no_asset_size: before(13), no_properties: before(4), access_blob: before(19), plain_filename: true })
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut release = [0; 3];
        let mut rest = text;
        for (n, part) in release.iter_mut().enumerate() {
            if n > 0 {
                let Some(after) = rest.strip_prefix('.').filter(|after| digits(after) > 0) else { break };
                rest = after;
            }
            let len = digits(rest);
            *part = rest.get(..len)?.parse().ok()?;
            rest = &rest[len..];
        }
        let pre = ["a", "b", "rc"].into_iter().find_map(|name| {
            let rest = rest.strip_prefix(name)?;
            Some((name.as_bytes()[0], rest[..digits(rest)].parse().ok()?))
        });
        Some(Self { release, pre })
    }

    fn order(self) -> ([u32; 3], (u8, u32)) {
        (self.release, self.pre.unwrap_or((b'z', 0)))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(agent: &str) -> Result<Dialect> {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::try_from(agent).unwrap());
        Dialect::of(&headers)
    }

    #[test]
    fn too_old_clients_are_told_so() {
        for agent in ["python-tiled/0.1.0a103", "python-tiled/0.0.9", "python-tiled/0.1.0a2 (linux)"] {
            assert!(of(agent).is_err(), "{agent}");
        }
        for agent in
            ["python-tiled/0.1.0a104", "python-tiled/0.1.0b1", "python-tiled/0.1.0a1.dev5", "curl/8", "python-tiled/x"]
        {
            assert!(of(agent).is_ok(), "{agent}");
        }
    }

    #[test]
    fn each_age_gets_what_it_understands() {
        let dialect = |version: &str| of(&format!("python-tiled/{version}")).unwrap();
        let today = Dialect { plain_filename: true, ..Dialect::default() };
        assert_eq!(dialect("0.2.20"), today);
        assert_eq!(dialect("0.2.13"), Dialect { access_blob: true, ..today });
        assert_eq!(dialect("0.2.12"), Dialect { access_blob: true, no_asset_size: true, ..today });
        assert!(dialect("0.2.3").no_properties && dialect("0.2.13rc1").no_asset_size);
        assert_eq!(of("curl/8").unwrap(), Dialect::default());
        assert_eq!(dialect("1.0"), today);
    }
}

//! Cookies: reading the header, and the two that we set.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(crate) const API_KEY: &str = "tiled_api_key";
pub(crate) const CSRF: &str = "tiled_csrf";

/// The first cookie of this name.
pub(crate) fn get<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (given, value) = pair.trim().split_once('=')?;
        (given == name).then_some(value.trim_matches('"'))
    })
}

/// `Set-Cookie` for a value of ASCII letters, digits, `-` and `_`; `None` for any other.
pub(crate) fn set(name: &str, value: &str, secure: bool) -> Option<HeaderValue> {
    if !value.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_') {
        return None;
    }
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::try_from(format!("{name}={value}; HttpOnly; Path=/; SameSite=lax{secure}")).ok()
}

/// 43 characters that nobody can guess.
pub(crate) fn token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; tiled_csrf=xyz"));
        headers.append(header::COOKIE, HeaderValue::from_static("tiled_api_key=\"k\""));
        assert_eq!(get(&headers, CSRF), Some("xyz"));
        assert_eq!(get(&headers, API_KEY), Some("k"));
        assert_eq!(get(&headers, "csrf"), None);
    }

    #[test]
    fn only_plain_values_are_set() {
        assert_eq!(set(CSRF, "ab-1_", false).unwrap(), "tiled_csrf=ab-1_; HttpOnly; Path=/; SameSite=lax");
        assert!(set(CSRF, "a", true).unwrap().to_str().unwrap().ends_with("; Secure"));
        assert_eq!(set(CSRF, "a;b", false), None);
        assert_eq!(token().len(), 43);
        assert_ne!(token(), token());
    }
}

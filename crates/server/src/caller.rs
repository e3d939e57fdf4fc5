//! Who is asking: from credentials to [`Caller`].
//!
//! Tried in this order, the first one counts: `?api_key=K`, `Authorization: Apikey K`, the cookie
//! `tiled_api_key`, `Authorization: Bearer TOKEN`.

use axum::http::{HeaderMap, Method, header};
use girih_engine::Caller;
use girih_model::{Error, Result};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::cookie;
use crate::query::QueryString;

/// Who may come in, and how they prove who they are.
pub(crate) struct Gate {
    /// SHA-256 of the single user's API key: what is compared has a fixed length, whatever is sent.
    api_key: Option<[u8; 32]>,
    allow_anonymous: bool,
}

/// Secrets do not get printed.
impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("allow_anonymous", &self.allow_anonymous).finish_non_exhaustive()
    }
}

/// What a request brought along.
#[derive(PartialEq, Eq, Debug)]
enum Credential<'r> {
    QueryKey(&'r str),
    HeaderKey(&'r str),
    CookieKey(&'r str),
    Bearer,
    None,
}

/// A caller, and how the answer should reflect how they came in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    /// A valid key that came in the URL: from now on a cookie will do.
    pub(crate) remember_key: Option<String>,
}

impl Gate {
    pub(crate) fn new(api_key: Option<&str>, allow_anonymous: bool) -> Self {
        Self { api_key: api_key.map(digest), allow_anonymous }
    }

    /// False where anybody may read.
    pub(crate) fn authentication_required(&self) -> bool {
        !self.allow_anonymous
    }

    /// # Errors
    /// `Malformed` for a header that is none, `Unauthenticated` for wrong credentials, `Forbidden` when a browser
    /// may have been tricked into sending its cookie.
    pub(crate) fn admit(&self, method: &Method, headers: &HeaderMap, query: &QueryString) -> Result<Admitted> {
        let credential = credential(headers, query)?;
        let caller = match credential {
            Credential::QueryKey(key) | Credential::HeaderKey(key) | Credential::CookieKey(key) => self.holder(key)?,
            Credential::Bearer => return Err(Error::unauthenticated("Could not validate credentials")),
            Credential::None if self.allow_anonymous => Caller::anonymous_reader(),
            Credential::None => Caller::stranger(),
        };
        if matches!(credential, Credential::CookieKey(_)) && !method.is_safe() {
            check_csrf(headers, query)?;
        }
        let remember_key = match credential {
            Credential::QueryKey(key) => Some(key.to_owned()),
            _ => None,
        };
        Ok(Admitted { caller, remember_key })
    }

    /// Who holds an API key.
    ///
    /// # Errors
    /// `Unauthenticated` when nobody does.
    pub(crate) fn holder(&self, key: &str) -> Result<Caller> {
        let matches = self.api_key.is_some_and(|expected| bool::from(expected.ct_eq(&digest(key))));
        if matches { Ok(Caller::single_user()) } else { Err(Error::unauthenticated("Invalid API key")) }
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn credential<'r>(headers: &'r HeaderMap, query: &'r QueryString) -> Result<Credential<'r>> {
    if let Some(key) = query.one("api_key") {
        return Ok(Credential::QueryKey(key));
    }
    let mut bearer = false;
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let malformed = || {
            Error::malformed(
                "Authorization header must include the authorization type followed by a space and then the secret, as in 'Bearer SECRET' or 'Apikey SECRET'. ",
            )
        };
        let (scheme, secret) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
        if scheme.eq_ignore_ascii_case("apikey") {
            return Ok(Credential::HeaderKey(secret.trim()));
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(malformed());
        }
        bearer = true;
    }
    if let Some(key) = cookie::get(headers, cookie::API_KEY) {
        return Ok(Credential::CookieKey(key));
    }
    Ok(if bearer { Credential::Bearer } else { Credential::None })
}

/// Double submit: another site can make a browser send our cookies, but cannot read them to repeat one in a header.
fn check_csrf(headers: &HeaderMap, query: &QueryString) -> Result<()> {
    let expected = cookie::get(headers, cookie::CSRF).filter(|token| !token.is_empty());
    let expected = expected.ok_or_else(|| Error::forbidden("Expected tiled_csrf_token cookie"))?;
    let given = headers.get("x-csrf").and_then(|value| value.to_str().ok()).or_else(|| query.one("csrf"));
    let given = given.ok_or_else(|| Error::forbidden("Expected csrf query parameter or x-csrf header"))?;
    if bool::from(digest(expected).ct_eq(&digest(given))) {
        return Ok(());
    }
    Err(Error::forbidden("Double-submit CSRF tokens do not match"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use girih_model::ErrorKind;

    use super::*;

    /// Name of the caller, or the kind of the refusal.
    fn check(gate: &Gate, method: Method, query: &str, headers: &[(&str, &str)]) -> Result<String, ErrorKind> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        let query = QueryString::parse(Some(query)).unwrap();
        gate.admit(&method, &map, &query).map(|admitted| admitted.caller.name).map_err(|e| e.kind())
    }

    #[test]
    fn credentials_are_tried_in_order() {
        let gate = Gate::new(Some("secret"), true);
        let get = |query, headers: &[_]| check(&gate, Method::GET, query, headers);
        assert_eq!(get("", &[]).unwrap(), "anon");
        assert_eq!(get("api_key=secret", &[("authorization", "Apikey no")]).unwrap(), "singleuser");
        assert_eq!(
            get("", &[("authorization", "apikey secret"), ("cookie", "tiled_api_key=no")]).unwrap(),
            "singleuser"
        );
        assert_eq!(
            get("", &[("authorization", "Bearer x"), ("cookie", "tiled_api_key=secret")]).unwrap(),
            "singleuser"
        );
        assert_eq!(get("api_key=no", &[("authorization", "Apikey secret")]), Err(ErrorKind::Unauthenticated));
        assert_eq!(get("", &[("authorization", "Bearer x")]), Err(ErrorKind::Unauthenticated));
        assert_eq!(get("", &[("authorization", "secret")]), Err(ErrorKind::Malformed));
        assert_eq!(get("", &[("authorization", "Basic secret")]), Err(ErrorKind::Malformed));
    }

    #[test]
    fn without_a_key_nobody_gets_in() {
        let gate = Gate::new(None, false);
        assert_eq!(check(&gate, Method::GET, "", &[]).unwrap(), "anon");
        assert_eq!(check(&gate, Method::GET, "api_key=", &[]), Err(ErrorKind::Unauthenticated));
    }

    #[test]
    fn cookies_write_only_with_the_repeated_token() {
        let gate = Gate::new(Some("secret"), false);
        let both = ("cookie", "tiled_api_key=secret; tiled_csrf=t");
        let post = |query, headers: &[_]| check(&gate, Method::POST, query, headers);
        assert_eq!(post("", &[both]), Err(ErrorKind::Forbidden));
        assert_eq!(post("", &[both, ("x-csrf", "u")]), Err(ErrorKind::Forbidden));
        assert_eq!(post("", &[("cookie", "tiled_api_key=secret"), ("x-csrf", "t")]), Err(ErrorKind::Forbidden));
        let empty = [("cookie", "tiled_api_key=secret; tiled_csrf="), ("x-csrf", "")];
        assert_eq!(post("", &empty), Err(ErrorKind::Forbidden));
        assert_eq!(post("", &[both, ("x-csrf", "t")]).unwrap(), "singleuser");
        assert_eq!(post("csrf=t", &[both]).unwrap(), "singleuser");
        assert_eq!(check(&gate, Method::GET, "", &[both]).unwrap(), "singleuser");
        assert_eq!(post("", &[both, ("authorization", "Apikey secret")]).unwrap(), "singleuser");
    }

    #[test]
    fn debugging_does_not_print_secrets() {
        assert_eq!(format!("{:?}", Gate::new(Some("secret"), true)), "Gate { allow_anonymous: true, .. }");
    }
}

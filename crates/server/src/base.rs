//! Under which address the caller sees this server: the beginning of every link.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Version, header};
use girih_model::{Error, Result};

const MAX_HOST_BYTES: usize = 255;

/// `https://host:port/root_path`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    root: String,
    pub(crate) secure: bool,
}

impl BaseUrl {
    /// From `X-Forwarded-Host` and `X-Forwarded-Proto` if a proxy in front is trusted to set them, or else the authority
    /// of the request's target, or else `Host` (RFC 9112, 3.2).
    ///
    /// # Errors
    /// `Malformed` when the host is not one (it would end up in links), or when there are several.
    pub(crate) fn of(parts: &Parts, root_path: &str, trust_forwarded: bool) -> Result<Self> {
        let forwarded = |name: &str| {
            // A chain of proxies appends; the first one is what the caller used.
            let first = text(&parts.headers, name)?.split(',').next()?.trim();
            trust_forwarded.then_some(first)
        };
        if parts.headers.get_all(header::HOST).iter().nth(1).is_some() {
            return Err(Error::malformed("There is more than one Host header."));
        }
        let host = forwarded("x-forwarded-host")
            .filter(|host| is_host(host))
            .or_else(|| parts.uri.authority().map(|authority| authority.as_str()))
            .or_else(|| text(&parts.headers, header::HOST.as_str()));
        let host = match host {
            Some(host) if is_host(host) => host,
            // HTTP/1.0 knows no Host.
            None if parts.version < Version::HTTP_11 => "localhost",
            _ => return Err(Error::malformed("The Host header is missing or is not a host name.")),
        };
        let secure = match forwarded("x-forwarded-proto") {
            Some(proto) => proto.eq_ignore_ascii_case("https"),
            None => false,
        };
        let scheme = if secure { "https" } else { "http" };
        Ok(Self { root: format!("{scheme}://{host}{root_path}"), secure })
    }

    pub(crate) fn api(&self) -> String {
        format!("{}/api/v1", self.root)
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A host name or address, with or without a port (RFC 3986, 3.2.2), without user information.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= MAX_HOST_BYTES
        && host.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._~:[]%".contains(&c))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn base(headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        BaseUrl::of(&parts, "/tiled", true).ok().map(|base| base.api())
    }

    #[test]
    fn the_address_is_what_the_caller_used() {
        assert_eq!(base(&[("host", "h:8000")]).unwrap(), "http://h:8000/tiled/api/v1");
        let proxied = [("host", "h"), ("x-forwarded-host", "foo.com, inner"), ("x-forwarded-proto", "https")];
        assert_eq!(base(&proxied).unwrap(), "https://foo.com/tiled/api/v1");
    }

    #[test]
    fn what_is_not_a_host_does_not_get_into_links() {
        for host in ["", "a b", "a/b", "a\"", "u@h", "a?b", "h<"] {
            assert_eq!(base(&[("host", host)]), None, "{host:?}");
            let forwarded = [("host", "h"), ("x-forwarded-host", host)];
            assert_eq!(base(&forwarded).unwrap(), "http://h/tiled/api/v1", "{host:?}");
        }
        assert_eq!(base(&[]), None);
        assert_eq!(base(&[("host", "a"), ("host", "b")]), None);
    }

    #[test]
    fn what_the_target_says_counts_more_than_the_header() {
        let request = Request::builder().uri("http://target:80/x").header("host", "other").body(()).unwrap();
        assert_eq!(BaseUrl::of(&request.into_parts().0, "", true).unwrap().root(), "http://target:80");
    }

    #[test]
    fn an_untrusted_proxy_is_not_heard() {
        let request = Request::builder().header("host", "h").header("x-forwarded-host", "evil").body(()).unwrap();
        let base = BaseUrl::of(&request.into_parts().0, "", false).unwrap();
        assert_eq!(base.root(), "http://h");
    }
}

//! `page[limit]`, `page[offset]`, `page[cursor]`, and the links from page to page.

use girih_engine::search::{Cursor, Page};
use girih_model::wire::PageLinks;
use girih_model::{Error, Result};

use crate::query::{QueryString, encode};

const DEFAULT_LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 300;

const LIMIT: &str = "page[limit]";
const OFFSET: &str = "page[offset]";
const CURSOR: &str = "page[cursor]";
/// Parameters that say who asks, not what: they do not belong into links.
const PERSONAL: [&str; 2] = ["api_key", "csrf"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paging {
    pub(crate) page: Page,
    /// How many entries come before the page; a cursor alone does not tell.
    pub(crate) offset: Option<u64>,
    pub(crate) limit: u64,
}

/// Where the next page begins.
#[derive(Debug)]
pub(crate) enum Next {
    None,
    Cursor(Cursor),
    Offset(u64),
    /// In an order of the client's own: the protocol numbers its pages, the cursor goes on however deep they are.
    Both(u64, Cursor),
}

impl Paging {
    /// With `custom_order`, the links hold a cursor and an offset, and of the two the cursor counts.
    pub(crate) fn of(query: &QueryString, custom_order: bool) -> Result<Self> {
        let limit = query.integer(LIMIT, 0..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
        let offset = query.integer(OFFSET, 0..=i64::MAX as u64)?;
        let page = match (offset, query.one(CURSOR)) {
            (Some(_), Some(_)) if !custom_order => {
                return Err(Error::malformed("Cannot specify both page[cursor] and page[offset]"));
            }
            (_, Some(cursor)) => Page::After(Cursor(cursor.to_owned())),
            (Some(0) | None, None) => Page::First,
            (Some(offset), None) => Page::Offset(offset),
        };
        let offset = if matches!(page, Page::First) { Some(0) } else { offset };
        Ok(Self { page, offset, limit })
    }

    /// Links to this page, the first and the next one. Filters, order and fields stay as they are.
    pub(crate) fn links(&self, url: &str, query: &QueryString, next: Next) -> PageLinks {
        let limit = self.limit.to_string();
        let link = |offset: Option<u64>, cursor: Option<&Cursor>| {
            let offset = offset.map(|offset| offset.to_string());
            let paging = offset.iter().map(|offset| (OFFSET, offset.as_str()));
            let paging = paging.chain(cursor.map(|cursor| (CURSOR, cursor.0.as_str())));
            let paging = paging.chain([(LIMIT, limit.as_str())]);
            let rest = query.pairs().iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let rest = rest.filter(|(name, _)| !PERSONAL.contains(name) && ![LIMIT, OFFSET, CURSOR].contains(name));
            format!("{url}{}", encode(paging.chain(rest)))
        };
        let cursor = match &self.page {
            Page::First | Page::Offset(_) => None,
            Page::After(cursor) => Some(cursor),
        };
        let this = link(self.offset.filter(|offset| *offset > 0), cursor);
        let next = match &next {
            Next::None => None,
            Next::Cursor(cursor) => Some(link(None, Some(cursor))),
            Next::Offset(offset) => Some(link(Some(*offset), None)),
            Next::Both(offset, cursor) => Some(link(Some(*offset), Some(cursor))),
        };
        PageLinks { this, first: link(None, None), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_what_was_asked_and_forget_who_asked() {
        let query = QueryString::parse(Some(
            "page[offset]=4&page%5Blimit%5D=2&sort=-a&filter[eq][condition][key]=x+y&fields=&api_key=secret",
        ))
        .unwrap();
        let links = Paging::of(&query, true).unwrap().links("H/search/q", &query, Next::Both(6, Cursor("c/1".into())));
        let rest = "page[limit]=2&sort=-a&filter[eq][condition][key]=x%20y&fields=";
        assert_eq!(links.this, format!("H/search/q?page[offset]=4&{rest}"));
        assert_eq!(links.first, format!("H/search/q?{rest}"));
        assert_eq!(links.next.unwrap(), format!("H/search/q?page[offset]=6&page[cursor]=c/1&{rest}"));
    }

    #[test]
    fn limits_and_contradictions() {
        let paging = |text| Paging::of(&QueryString::parse(Some(text)).unwrap(), false);
        assert_eq!(paging("").unwrap(), Paging { page: Page::First, offset: Some(0), limit: 100 });
        assert_eq!(
            paging("page[limit]=0&page[offset]=0").unwrap(),
            Paging { page: Page::First, offset: Some(0), limit: 0 }
        );
        for bad in ["page[limit]=301", "page[limit]=x", "page[offset]=-1", "page[offset]=1&page[cursor]=a"] {
            assert!(paging(bad).is_err(), "{bad}");
        }
    }
}

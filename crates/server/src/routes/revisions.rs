//! How a node's metadata was before.

use axum::body::Body;
use girih_engine::search::Page;
use girih_model::Error;
use girih_model::wire::{Envelope, RevisionReply};

use crate::ask::Ask;
use crate::envelope;
use crate::error::Reply;
use crate::links::encode;
use crate::paging::{Next, Paging};

pub(super) async fn list(ask: Ask, _: Body) -> Reply {
    let paging = Paging::of(ask.query(), false)?;
    if matches!(paging.page, Page::After(_)) {
        return Err(Error::malformed("Revisions have no cursor; use page[offset].").into());
    }
    let path = ask.path()?;
    let (offset, limit) = (paging.offset.unwrap_or(0), paging.limit);
    let (revisions, count) = ask.read(ask.engine().revisions(ask.caller(), &path, offset, limit)).await?;
    let end = offset.saturating_add(revisions.len() as u64);
    let next = if end < count && !revisions.is_empty() { Next::Offset(end) } else { Next::None };
    let links = paging.links(&format!("{}/revisions/{}", ask.api(), encode(&path)), ask.query(), next);
    let revisions: Vec<_> = revisions.into_iter().map(RevisionReply::from).collect();
    envelope::reply(&ask, &Envelope::page(revisions, links, count))
}

pub(super) async fn delete(ask: Ask, _: Body) -> Reply {
    let path = ask.path()?;
    let number = ask.query().id("number")?;
    ask.engine().delete_revision(ask.caller(), &path, number).await?;
    envelope::null()
}

//! A node: reading, creating, changing, deleting.

use axum::body::Body;
use girih_engine::create::CreateRequest;
use girih_engine::update::{Patch, PatchKind, Replace};
use girih_model::wire::{
    Created, Envelope, PatchMetadataRequest, PostMetadataRequest, PutMetadataRequest, Updated, object_text,
};
use girih_model::{Error, Json, Result, Spec};

use crate::ask::Ask;
use crate::error::Reply;
use crate::links::links;
use crate::present::{View, data_sources};
use crate::{body, envelope};

pub(super) async fn read(ask: Ask, _: Body) -> Reply {
    let view = View::of(&ask)?;
    View::check_inline_depth(&ask)?;
    let path = ask.path()?;
    let entry = ask.read(ask.engine().entry(ask.caller(), &path, view.want())).await?;
    let mut reply = Envelope::of(view.resource(entry).await?);
    if ask.query().boolean("root_path", false)? {
        let root = &ask.app.options.root_path;
        reply.meta.root_path = Some(if root.is_empty() { "/".into() } else { root.clone() });
    }
    envelope::reply(&ask, &reply)
}

pub(super) async fn create(ask: Ask, body: Body) -> Reply {
    new_node(ask, body, false).await
}

pub(super) async fn register(ask: Ask, body: Body) -> Reply {
    new_node(ask, body, true).await
}

async fn new_node(ask: Ask, body: Body, register: bool) -> Reply {
    let parent = ask.path()?;
    let request = create_request(body::json(&ask, body).await?)?;
    let (metadata, access_tags) = (request.metadata.clone(), request.access_tags.clone());
    let entry = ask.engine().create(ask.caller(), &parent, request, register).await?.entry;
    let created = Created {
        id: entry.path.key().to_owned(),
        links: links(&ask.api(), &entry.path, entry.family, entry.structure.as_ref()),
        data_sources: data_sources(entry.data_sources.unwrap_or_default(), ask.visit.dialect),
        metadata: changed(Some(metadata), entry.metadata),
        access_tags: changed_tags(access_tags, entry.access_tags),
    };
    envelope::reply(&ask, &created)
}

/// What a caller wants created, in the words of the engine.
pub(super) fn create_request(mut request: PostMetadataRequest) -> Result<CreateRequest> {
    Spec::check_list(&request.specs)?;
    let access_tags = request.tags()?;
    let sources = request.data_sources.into_iter().map(|source| source.check()).collect::<Result<_>>()?;
    Ok(CreateRequest {
        key: request.id.filter(|id| !id.is_empty()),
        family: request.structure_family,
        metadata: object_text("metadata", request.metadata)?,
        specs: request.specs,
        data_sources: sources,
        access_tags,
    })
}

pub(super) async fn replace(ask: Ask, body: Body) -> Reply {
    let path = ask.path()?;
    let keep_revision = !ask.query().boolean("drop_revision", false)?;
    let mut request: PutMetadataRequest = body::json(&ask, body).await?;
    let access_tags = request.tags()?;
    let metadata = request.metadata.map(|json| object_text("metadata", Some(json))).transpose()?;
    Spec::check_list(request.specs.as_deref().unwrap_or_default())?;
    let new = Replace { metadata: metadata.clone(), specs: request.specs, access_tags: access_tags.clone() };
    let entry = ask.engine().replace_metadata(ask.caller(), &path, new, keep_revision).await?;
    let updated = Updated {
        id: entry.path.key().to_owned(),
        metadata: metadata.and_then(|sent| changed(Some(sent), entry.metadata)),
        access_tags: access_tags.and_then(|sent| changed_tags(Some(sent), entry.access_tags)),
    };
    envelope::reply(&ask, &updated)
}

pub(super) async fn patch(ask: Ask, body: Body) -> Reply {
    let path = ask.path()?;
    let keep_revision = !ask.query().boolean("drop_revision", false)?;
    let request: PatchMetadataRequest = body::json(&ask, body).await?;
    let kind = match request.content_type.as_str() {
        "application/json-patch+json" => PatchKind::Json,
        "application/merge-patch+json" => PatchKind::Merge,
        _ => {
            let message = "valid content types: application/json-patch+json, application/merge-patch+json";
            return Err(Error::not_acceptable(message).into());
        }
    };
    let patch = Patch { kind, metadata: request.metadata, specs: request.specs, access_tags: request.access_tags };
    let entry = ask.engine().patch_metadata(ask.caller(), &path, patch, keep_revision).await?;
    let updated = Updated { id: entry.path.key().to_owned(), metadata: None, access_tags: None };
    envelope::reply(&ask, &updated)
}

pub(super) async fn delete(ask: Ask, _: Body) -> Reply {
    let path = ask.path()?;
    let recursive = ask.query().boolean("recursive", false)?;
    let external_only = ask.query().boolean("external_only", true)?;
    ask.engine().delete(ask.caller(), &path, recursive, external_only).await?;
    envelope::null()
}

/// What was stored, if it is not what was sent.
fn changed(sent: Option<Json>, stored: Json) -> Option<Json> {
    (sent.as_ref() != Some(&stored)).then_some(stored)
}

fn changed_tags(sent: Option<Vec<String>>, stored: Option<Vec<String>>) -> Option<Vec<String>> {
    let sorted = |tags: Option<Vec<String>>| {
        let mut tags = tags.unwrap_or_default();
        tags.sort_unstable();
        tags
    };
    let (sent, stored) = (sorted(sent), sorted(stored));
    (sent != stored).then_some(stored)
}

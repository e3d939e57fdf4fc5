//! From files to nodes that are ready to be made.

use futures::stream::{self, StreamExt};
use girih_model::{DataSource, Management, NodePath, Result};
use girih_storage::Storage;
use girih_storage::format::Files;
use girih_storage::pool::blocking;
use girih_storage::survey::{Candidate, Member};

use crate::bulk::BulkItem;
use crate::create::CreateRequest;

/// Files of a sequence that are looked into at the same time.
const AT_ONCE: usize = 8;

/// A candidate that was looked into.
pub(super) struct Inspected {
    pub(super) candidate: Candidate,
    pub(super) item: Result<BulkItem>,
}

/// Looks into files; a sequence whose files do not fit together becomes several, without those that cannot be read.
pub(super) async fn inspect(storage: &Storage, parent: &NodePath, candidate: Candidate) -> Vec<Inspected> {
    let item = look(storage, parent, &candidate).await;
    match &item {
        // They do not fit together, or one of them is damaged.
        Err(_) if candidate.is_sequence && candidate.members.len() > 1 => split(storage, parent, candidate).await,
        _ => vec![Inspected { candidate, item }],
    }
}

async fn look(storage: &Storage, parent: &NodePath, candidate: &Candidate) -> Result<BulkItem> {
    let files = files_of(candidate).await?;
    let found = storage.inspect(&files).await?;
    let family = found.structure.family();
    let source = DataSource {
        id: None,
        structure: found.structure,
        mimetype: files.media_type,
        parameters: files.parameters,
        properties: Default::default(),
        management: Management::External,
        assets: files.assets,
    };
    let create = CreateRequest {
        key: Some(candidate.key.clone()),
        family,
        metadata: found.metadata,
        specs: found.specs,
        data_sources: vec![source],
        access_tags: None,
    };
    Ok(BulkItem { parent: parent.clone(), create })
}

/// As they are registered: of a long sequence, that takes a while.
async fn files_of(candidate: &Candidate) -> Result<Files> {
    let candidate = candidate.clone();
    blocking(move || Ok(candidate.files())).await
}

/// The files of a sequence by their structures, in the order in which these first come. The one with the most files
/// keeps the name, the others have that of their first file.
async fn split(storage: &Storage, parent: &NodePath, candidate: Candidate) -> Vec<Inspected> {
    let mut groups: Vec<(girih_model::Structure, Candidate)> = Vec::new();
    let mut failed = Vec::new();
    let alone = |member: Member| Candidate { members: vec![member], ..candidate.clone() };
    let ones: Vec<Candidate> = candidate.members.iter().cloned().map(alone).collect();
    let looked = stream::iter(ones).map(async |one| match files_of(&one).await {
        Ok(files) => (storage.inspect(&files).await, one),
        Err(e) => (Err(e), one),
    });
    let mut looked = looked.buffered(AT_ONCE);
    while let Some((found, one)) = looked.next().await {
        match found {
            Ok(found) => match groups.iter_mut().find(|(structure, _)| *structure == found.structure) {
                Some((_, group)) => group.members.extend(one.members),
                None => groups.push((found.structure, one)),
            },
            Err(e) => failed.push(Inspected { candidate: one, item: Err(e) }),
        }
    }
    let largest = groups.iter().map(|(_, group)| group.members.len()).max().unwrap_or_default();
    let main = groups.iter().position(|(_, group)| group.members.len() == largest);
    let mut all = Vec::new();
    for (n, (_, mut group)) in groups.into_iter().enumerate() {
        if Some(n) != main {
            let first = group.members.first().map(|member| member.location.name()).unwrap_or_default();
            // Its whole name is that of no other.
            group.key = girih_storage::survey::key_of(&first, true);
        }
        let item = look(storage, parent, &group).await;
        all.push(Inspected { candidate: group, item });
    }
    all.extend(failed);
    all
}

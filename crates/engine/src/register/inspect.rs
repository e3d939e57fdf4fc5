//! From files to nodes that are ready to be made.

use girih_model::{DataSource, ErrorKind, Management, NodePath, Result};
use girih_storage::Storage;
use girih_storage::survey::Candidate;

use crate::bulk::BulkItem;
use crate::create::CreateRequest;

/// A candidate that was looked into.
pub(super) struct Inspected {
    pub(super) candidate: Candidate,
    pub(super) item: Result<BulkItem>,
}

/// Looks into files; a sequence whose files do not fit together becomes several.
pub(super) async fn inspect(storage: &Storage, parent: &NodePath, candidate: Candidate) -> Vec<Inspected> {
    let item = look(storage, parent, &candidate).await;
    match &item {
        Err(e) if candidate.is_sequence && candidate.members.len() > 1 && e.kind() == ErrorKind::Unprocessable => {
            split(storage, parent, candidate).await
        }
        _ => vec![Inspected { candidate, item }],
    }
}

async fn look(storage: &Storage, parent: &NodePath, candidate: &Candidate) -> Result<BulkItem> {
    let files = candidate.files();
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

/// The files of a sequence by their structures, in the order in which these first come. The one with the most files
/// keeps the name, the others have the number of their first file in it.
async fn split(storage: &Storage, parent: &NodePath, candidate: Candidate) -> Vec<Inspected> {
    let mut groups: Vec<(girih_model::Structure, Candidate)> = Vec::new();
    let mut failed = Vec::new();
    for member in &candidate.members {
        let one = Candidate { members: vec![member.clone()], ..candidate.clone() };
        match storage.inspect(&one.files()).await {
            Ok(found) => match groups.iter_mut().find(|(structure, _)| *structure == found.structure) {
                Some((_, group)) => group.members.push(member.clone()),
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
            group.key = girih_storage::survey::strip_suffixes(&first);
        }
        let item = look(storage, parent, &group).await;
        all.push(Inspected { candidate: group, item });
    }
    all.extend(failed);
    all
}

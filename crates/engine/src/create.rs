//! New nodes.

use std::sync::Arc;

use girih_database::NewNode;
use girih_model::event::{Event, Patch};
use girih_model::path::check_key;
use girih_model::{DataSource, Error, ErrorKind, Family, Json, Management, Node, NodePath, Result, Spec, Structure};

use crate::access::Permission;
use crate::engine::Mount;
use crate::find::Found;
use crate::{Caller, Engine, Entry};

/// Largest metadata, in bytes: every value in it is indexed.
const MAX_METADATA_BYTES: usize = 8 << 20;
/// Most specs of a node.
const MAX_SPECS: usize = 20;
/// Longest name or version of a spec, in characters.
const MAX_SPEC_CHARS: usize = 255;

#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// A random one (UUID) when not given.
    pub key: Option<String>,
    pub family: Family,
    /// A JSON object.
    pub metadata: Json,
    pub specs: Vec<Spec>,
    /// Exactly one for every family but containers. An empty mimetype means the family's default.
    pub data_sources: Vec<DataSource>,
    pub access_tags: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
pub struct CreateReply {
    /// With its data sources.
    pub entry: Entry,
}

impl Engine {
    /// Creates a node whose data girih keeps (`register: false`), or one whose data lies in existing files (`register: true`).
    ///
    /// # Errors
    /// `Conflict` when the key is taken, `NotFound`/`Unsupported` for the parent, `Unprocessable` for the rest.
    pub async fn create(
        &self,
        caller: &Caller,
        parent: &NodePath,
        request: CreateRequest,
        register: bool,
    ) -> Result<CreateReply> {
        caller.require(&[Permission::WriteMetadata, Permission::CreateNode])?;
        if register {
            caller.require(&[Permission::Register])?;
        }
        self.check_create(&request, register)?;
        let key = match request.key.filter(|key| !key.is_empty()) {
            Some(key) => key,
            None => uuid::Uuid::new_v4().to_string(),
        };
        check_key(&key)?;

        let (mount, node) = self.find_parent(parent).await?;
        let path = node.path.child(&key)?;
        // Two who want the same key take turns, and so does one who deletes it.
        let _guard = mount.catalog.locks.lock(format!("path:{path}")).await;
        if mount.database().deepest(&path).await?.path == path {
            return Err(taken(parent, &key));
        }
        let mut source = request.data_sources.into_iter().next();
        if let Some(source) = &mut source {
            if register {
                mount.storage.check_readable(source).await?;
            } else if request.family != Family::Container {
                let mimetype = Some(source.mimetype.as_str()).filter(|m| !m.is_empty());
                (source.mimetype, source.assets) = mount.storage.create(&path, &source.structure, mimetype).await?;
            }
        }
        let written = source.as_ref().filter(|_| !register).map(|s| s.assets.clone()).unwrap_or_default();
        let new = NewNode {
            key: key.clone(),
            family: request.family,
            metadata: request.metadata,
            specs: request.specs,
            data_source: source,
        };
        let created = match mount.database().create(node.id, new).await {
            Ok(created) => created,
            Err(e) => {
                mount.storage.remove(&written).await.unwrap_or_else(
                    |left| tracing::warn!(error = %left, "could not remove the storage of a node that was not created"),
                );
                return Err(if e.kind() == ErrorKind::Conflict { taken(parent, &key) } else { e });
            }
        };
        mount.catalog.tell(created.news).await;
        let data_sources = Some(created.data_source.into_iter().collect());
        Ok(CreateReply { entry: Entry { data_sources, ..mount.entry(created.node) } })
    }

    /// The container that new nodes go into.
    pub(crate) async fn find_parent(&self, path: &NodePath) -> Result<(Arc<Mount>, Node)> {
        let in_file = || {
            Error::unsupported(format!(
                "What lies at {path} is the content of a file, which nothing can be added to. Children can be created in containers of the catalog."
            ))
        };
        match self.find(path).await? {
            Found::Above { .. } => Err(Error::unsupported(
                "Catalogs are mounted below this container. Children can be created in each of them.",
            )),
            Found::Part { .. } => Err(in_file()),
            Found::Node { node, .. } if node.family != Family::Container => Err(Error::unsupported(format!(
                "The node at {path} is of the family {}. Children can only be created in containers.",
                node.family
            ))),
            Found::Node { node, .. } if node.structure.is_some() => Err(in_file()),
            Found::Node { mount, node } => Ok((mount, node)),
        }
    }

    /// What can be said of a request before anything is looked up.
    pub(crate) fn check_create(&self, request: &CreateRequest, register: bool) -> Result<()> {
        check_metadata(&request.metadata)?;
        self.check_specs(&request.specs)?;
        check_tags(request.access_tags.as_deref())?;
        check_sources(request.family, &request.data_sources, register)
    }

    /// Replaces a data source's description; it must belong to the node. Those who watch an array hear of it, and of the
    /// part that is new, if that is known.
    pub async fn put_data_source(
        &self,
        caller: &Caller,
        path: &NodePath,
        source: DataSource,
        patch: Option<Patch>,
    ) -> Result<()> {
        caller.require(&[Permission::WriteMetadata, Permission::Register])?;
        let (mount, node) = self.find_node(path, "replacing data sources").await?;
        let id = source.id.ok_or_else(|| Error::unprocessable("The data source needs its \"id\"."))?;
        let current = mount.database().data_sources(node.id).await?.into_iter().find(|s| s.id == Some(id));
        let current = current.ok_or_else(|| Error::not_found(format!("No data_source {id} on this node.")))?;
        if source.family() != node.family {
            return Err(Error::unprocessable(format!(
                "The node is of the family {}, but the data source describes {}.",
                node.family,
                source.family()
            )));
        }
        // Data that girih keeps stays where girih put it; what is registered must be readable.
        let ours = current.management != Management::External;
        let kept = source.mimetype == current.mimetype && source.structure == current.structure;
        if ours && (source.management == Management::External || !kept || !same_assets(&current, &source)) {
            return Err(Error::conflict(
                "Of data that this server keeps, only parameters and properties can be changed here. Write to it to change it.",
            ));
        }
        if !ours {
            if source.management != Management::External {
                return Err(Error::conflict("The data was registered and stays externally managed."));
            }
            mount.storage.check_readable(&source).await?;
        }
        let event = match &source.structure {
            Structure::Array(array) => Some(Event::array_ref(&source, patch, &array.shape)),
            _ => None,
        };
        let news = mount.database().put_data_source(node.id, source, event).await?;
        mount.catalog.tell(news).await;
        Ok(())
    }

    /// Refuses specs that are not unique, too many, too long or, if so configured, not declared.
    pub(crate) fn check_specs(&self, specs: &[Spec]) -> Result<()> {
        if specs.len() > MAX_SPECS {
            return Err(Error::unprocessable(format!("A node can have at most {MAX_SPECS} specs.")));
        }
        for (n, spec) in specs.iter().enumerate() {
            let chars =
                spec.name.chars().count().max(spec.version.iter().map(|v| v.chars().count()).max().unwrap_or(0));
            if spec.name.is_empty() || chars > MAX_SPEC_CHARS {
                return Err(Error::unprocessable(format!(
                    "A spec needs a name; name and version can have at most {MAX_SPEC_CHARS} characters."
                )));
            }
            if specs[..n].contains(spec) {
                return Err(Error::unprocessable(format!(
                    "Items must be unique: the spec {:?} is given twice.",
                    spec.name
                )));
            }
            if self.inner.options.reject_undeclared_specs && !self.inner.options.specs.contains(&spec.name) {
                return Err(Error::malformed(format!("Unrecognized spec: {}", spec.name)));
            }
        }
        Ok(())
    }
}

pub(crate) fn check_metadata(metadata: &Json) -> Result<()> {
    if metadata.text().len() > MAX_METADATA_BYTES {
        return Err(Error::too_large(format!(
            "The metadata has {} bytes; at most {MAX_METADATA_BYTES} are allowed. Store large values as arrays or tables.",
            metadata.text().len()
        )));
    }
    // Valid JSON that starts with a brace is an object.
    if metadata.text().trim_start().starts_with('{') {
        return Ok(());
    }
    Err(Error::unprocessable("Metadata must be a JSON object."))
}

/// Without an access policy nobody owns a tag, so only the empty list can be applied.
pub(crate) fn check_tags(tags: Option<&[String]>) -> Result<()> {
    match tags.and_then(|tags| tags.first()) {
        None => Ok(()),
        Some(tag) => {
            Err(Error::unprocessable(format!("Cannot apply the access tag {tag:?}: this server has no access policy.")))
        }
    }
}

fn check_sources(family: Family, sources: &[DataSource], register: bool) -> Result<()> {
    match (family, sources) {
        (Family::Awkward | Family::Ragged | Family::Sparse, _) => Err(girih_model::Structure::unsupported(family)),
        (Family::Container, []) => Ok(()),
        (_, [source]) => {
            if source.family() != family {
                return Err(Error::unprocessable(format!(
                    "The node is to be of the family {family}, but its data source describes {}.",
                    source.family()
                )));
            }
            match (register, source.management, source.assets.is_empty()) {
                (false, Management::External, _) | (false, _, false) => Err(Error::unprocessable(
                    "Externally-managed assets cannot be registered using POST /metadata. Use POST /register.",
                )),
                (true, Management::External, false) | (false, _, true) => Ok(()),
                (true, _, _) => Err(Error::unprocessable(
                    "POST /register is for existing files: the data source needs \"management\": \"external\" and its assets.",
                )),
            }
        }
        (_, sources) => Err(Error::unprocessable(format!(
            "A node of the family {family} needs exactly one data source; {} were given.",
            sources.len()
        ))),
    }
}

fn same_assets(a: &DataSource, b: &DataSource) -> bool {
    let uris = |source: &DataSource| {
        let mut uris: Vec<_> = source.assets.iter().map(|asset| asset.data_uri.clone()).collect();
        uris.sort();
        uris
    };
    b.assets.is_empty() || uris(a) == uris(b)
}

fn taken(parent: &NodePath, key: &str) -> Error {
    let at = if parent.is_root() { format!("/{key}") } else { format!("{parent}/{key}") };
    Error::conflict(format!("The key is taken: there is already an entry at {at}. Choose another key."))
}

impl Mount {
    /// Whether the metadata of this node is given by the configuration and so cannot be changed here.
    pub(crate) fn is_configured(&self, node: &girih_model::Node) -> bool {
        node.path.is_root() && (self.metadata.is_some() || !self.specs.is_empty())
    }
}

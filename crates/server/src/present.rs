//! From what the engine tells about an entry to what the caller asked to see of it.

use girih_engine::search::{Sort, SortKey};
use girih_engine::{Entry, Want, blocking};
use girih_model::wire::{Attributes, ContainerReply, DataSourceReply, Direction, NodeStructure, Resource, SortItem};
use girih_model::{DataSource, Error, Family, Result};
use serde_json::{Value, json};

use crate::ask::Ask;
use crate::client::Dialect;
use crate::links::{links, self_link};
use crate::select::Selector;

/// Deepest inlining of a container's contents that can be asked for.
const MAX_INLINE_DEPTH: u64 = 5;
/// Attributes that can be asked for; all of them unless told otherwise.
const FIELDS: [&str; 9] =
    ["metadata", "structure_family", "structure", "count", "sorting", "specs", "data_sources", "", "access_tags"];

/// What to show of each entry: `fields`, `select_metadata`, `omit_links`, `include_data_sources`.
pub(crate) struct View {
    /// `None` for all.
    fields: Option<Vec<String>>,
    select: Option<Selector>,
    omit_links: bool,
    data_sources: bool,
    max_assets: Option<u64>,
    dialect: Dialect,
    api: String,
}

impl View {
    pub(crate) fn of(ask: &Ask) -> Result<Self> {
        let query = ask.query();
        let fields = query.list("fields");
        if let Some(unknown) = fields.iter().flatten().find(|field| !FIELDS.contains(&field.as_str())) {
            return Err(Error::unprocessable(format!(
                "fields={unknown:?} is not an attribute. Choose from {}, or \"\" for none.",
                FIELDS.iter().filter(|field| !field.is_empty()).copied().collect::<Vec<_>>().join(", ")
            )));
        }
        let data_sources = query.boolean("include_data_sources", false)?;
        let view = Self {
            select: query.one("select_metadata").map(Selector::compile).transpose()?,
            omit_links: query.boolean("omit_links", false)?,
            data_sources: false,
            max_assets: query.integer("max_assets", 0..=u64::MAX)?,
            dialect: ask.visit.dialect,
            api: ask.api(),
            fields,
        };
        Ok(Self { data_sources: data_sources && view.shows("data_sources"), ..view })
    }

    /// Checks `max_depth` of inlined contents; entries are never inlined so far, which every depth allows.
    pub(crate) fn check_inline_depth(ask: &Ask) -> Result<()> {
        ask.query().integer("max_depth", 0..=MAX_INLINE_DEPTH).map(drop)
    }

    pub(crate) fn want(&self) -> Want {
        Want { data_sources: self.data_sources, only_names: self.is_bare() }
    }

    /// Whether only the number of entries matters, not the entries.
    pub(crate) fn only_counts(&self) -> bool {
        self.fields.as_ref().is_some_and(|fields| fields.iter().all(|field| field == "count") && !fields.is_empty())
    }

    fn shows(&self, field: &str) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.iter().any(|one| one == field))
    }

    /// Whether nothing but names is wanted.
    fn is_bare(&self) -> bool {
        self.fields.as_ref().is_some_and(|fields| fields.iter().all(String::is_empty))
    }

    pub(crate) async fn resource(self, entry: Entry) -> Result<Resource> {
        self.work(move |view| view.show(entry)).await
    }

    pub(crate) async fn resources(self, entries: Vec<Entry>) -> Result<Vec<Resource>> {
        self.work(move |view| entries.into_iter().map(|entry| view.show(entry)).collect()).await
    }

    /// Looking into metadata takes time, for which nobody else needs to wait.
    async fn work<T: Send + 'static>(self, work: impl FnOnce(&Self) -> Result<T> + Send + 'static) -> Result<T> {
        if self.select.is_some() { blocking(move || work(&self)).await } else { work(&self) }
    }

    fn show(&self, entry: Entry) -> Result<Resource> {
        let mut ancestors: Vec<String> = entry.path.keys().map(String::from).collect();
        let id = ancestors.pop().unwrap_or_default();
        let is_container = entry.family == Family::Container;
        let links = match (self.omit_links, self.is_bare()) {
            (true, _) => None,
            (_, true) => Some(self_link(&self.api, &entry.path)),
            _ => Some(links(&self.api, &entry.path, entry.family, entry.structure.as_ref())),
        };
        let structure = if is_container {
            let container = ContainerReply { contents: None, count: entry.count };
            (self.shows("structure") || self.shows("count")).then_some(NodeStructure::Container(container))
        } else {
            entry.structure.filter(|_| self.shows("structure")).map(NodeStructure::Data)
        };
        let metadata = match (&self.select, self.shows("metadata")) {
            (_, false) => None,
            (None, true) => Some(entry.metadata),
            (Some(selector), true) => Some(selector.apply(&entry.metadata)?),
        };
        let mut sources = entry.data_sources.unwrap_or_default();
        if let Some(most) = self.max_assets.and_then(|most| usize::try_from(most).ok()) {
            sources.iter_mut().for_each(|source| source.assets.truncate(most));
        }
        let tags = entry.access_tags.filter(|_| self.shows("access_tags"));
        let (access_tags, access_blob) =
            if self.dialect.access_blob { (None, tags.map(|tags| blob(&tags))) } else { (tags, None) };
        let attributes = Attributes {
            ancestors,
            structure_family: (self.shows("structure_family") || (is_container && !self.is_bare()))
                .then_some(entry.family),
            specs: self.shows("specs").then_some(entry.specs),
            metadata,
            structure,
            access_tags,
            access_blob,
            sorting: (is_container && self.shows("sorting")).then(|| entry.sorting.iter().map(sort_item).collect()),
            data_sources: self.data_sources.then(|| data_sources(sources, self.dialect)),
        };
        Ok(Resource { id, attributes, links, meta: () })
    }
}

/// Data sources as this client understands them.
pub(crate) fn data_sources(sources: Vec<DataSource>, dialect: Dialect) -> Vec<DataSourceReply> {
    let mut replies: Vec<_> = sources.into_iter().map(DataSourceReply::from).collect();
    for reply in &mut replies {
        if dialect.no_properties {
            reply.properties = None;
        }
        if dialect.no_asset_size {
            reply.assets.iter_mut().for_each(|asset| asset.size = None);
        }
    }
    replies
}

fn sort_item(sort: &Sort) -> SortItem {
    let key = match &sort.key {
        SortKey::Created => String::new(),
        SortKey::Key => "id".into(),
        SortKey::Value(path) => path.to_string(),
    };
    SortItem { key, direction: if sort.descending { Direction::Descending } else { Direction::Ascending } }
}

/// Access tags as clients before 0.2.19 know them.
fn blob(tags: &[String]) -> Value {
    match tags {
        [] => json!({}),
        [one] if one.starts_with("user:") => json!({"user": one["user:".len()..]}),
        tags => json!({"tags": tags}),
    }
}

#[cfg(test)]
mod tests {
    use girih_model::{Json, NodePath, Spec};

    use super::*;

    fn view(fields: Option<&[&str]>) -> View {
        View {
            fields: fields.map(|fields| fields.iter().map(ToString::to_string).collect()),
            select: None,
            omit_links: false,
            data_sources: false,
            max_assets: None,
            dialect: Dialect::default(),
            api: "H".into(),
        }
    }

    fn container() -> Entry {
        Entry {
            path: NodePath::parse("a/b").unwrap(),
            family: Family::Container,
            metadata: Json::parse(r#"{"x": {"y": 1}, "z": [1, 2]}"#).unwrap(),
            specs: vec![Spec { name: "s".into(), version: None }],
            structure: None,
            count: 3,
            sorting: vec![Sort { key: SortKey::Created, descending: false }],
            access_tags: Some(vec![]),
            data_sources: None,
        }
    }

    fn check(view: &View, expected: &str) {
        assert_eq!(serde_json::to_string(&view.show(container()).unwrap()).unwrap(), expected);
    }

    #[test]
    fn everything_by_default() {
        check(
            &view(None),
            r#"{"id":"b","attributes":{"ancestors":["a"],"structure_family":"container","specs":[{"name":"s","version":null}],"metadata":{"x": {"y": 1}, "z": [1, 2]},"structure":{"contents":null,"count":3},"access_tags":[],"sorting":[{"key":"","direction":1}],"data_sources":null},"links":{"self":"H/metadata/a/b","search":"H/search/a/b","search_deep":"H/search-deep/a/b","full":"H/container/full/a/b"},"meta":null}"#,
        );
    }

    #[test]
    fn only_names_or_only_some_fields() {
        check(
            &view(Some(&[""])),
            r#"{"id":"b","attributes":{"ancestors":["a"],"structure_family":null,"specs":null,"metadata":null,"structure":null,"access_tags":null,"sorting":null,"data_sources":null},"links":{"self":"H/metadata/a/b"},"meta":null}"#,
        );
        let resource = view(Some(&["count"])).show(container()).unwrap();
        assert_eq!(resource.attributes.structure_family, Some(Family::Container));
        assert!(resource.attributes.metadata.is_none() && resource.attributes.structure.is_some());
        assert!(view(Some(&["count"])).only_counts() && !view(Some(&["count", "specs"])).only_counts());
    }

    #[test]
    fn old_clients_read_a_blob() {
        assert_eq!(blob(&[]), json!({}));
        assert_eq!(blob(&["user:bob".into()]), json!({"user": "bob"}));
        assert_eq!(blob(&["a".into(), "b".into()]), json!({"tags": ["a", "b"]}));
    }
}

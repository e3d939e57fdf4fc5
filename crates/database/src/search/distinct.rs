//! Which values there are, and how often.

use std::collections::BTreeMap;

use girih_model::filter::KeyPath;
use girih_model::{Error, Family, Filter, NodeId, Result, ResultExt, Spec};
use serde_json::Value;
use sqlx::{Row, SqliteConnection};

use super::condition::{self, Condition};
use super::order::Order;
use super::sql::Sql;
use super::{Count, Question, Room, Scope, count, driver};
use crate::fault::Sqlx;
use crate::leaf::{FAMILY, Kind, SPECS, WHOLE_TEXT};
use crate::{Database, nodes};

/// Most different values that one question may have.
const MAX_VALUES: usize = 100_000;

/// What `distinct` is asked to tell.
#[derive(Debug, Clone, Default)]
pub struct DistinctWants {
    pub metadata: Vec<KeyPath>,
    pub families: bool,
    pub specs: bool,
    pub counts: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Distinct {
    /// In the order of the request.
    pub metadata: Vec<Vec<Bucket<Value>>>,
    pub families: Option<Vec<Bucket<Family>>>,
    pub specs: Option<Vec<Bucket<Vec<Spec>>>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bucket<T> {
    pub value: T,
    pub count: Option<u64>,
}

impl Database {
    /// Values (in sort order; missing counts as null) among the children of `parent` that pass the filter.
    pub async fn distinct(&self, parent: NodeId, filter: Filter, wants: DistinctWants) -> Result<Distinct> {
        let mut db = self.reader().await?;
        let room = Room { parent: nodes::by_id(&mut db, parent).await?, scope: Scope::Children };
        let condition = condition::resolve(&filter, &mut db, &self.paths).await?;
        let counted = |count: u64| wants.counts.then_some(count);
        let mut distinct = Distinct::default();
        let total = match count(&mut db, &room, &condition, None).await? {
            Count::Exactly(total) | Count::AtLeast(total) => total,
        };
        for path in &wants.metadata {
            let place = self.paths.find(&mut db, path, false).await?;
            let mut groups = match place {
                Some(place) => groups(&mut db, &room, &condition, place).await?,
                None => Vec::new(),
            };
            let nulls: u64 = groups.extract_if(.., |group| group.kind == Kind::Null as i64).map(|g| g.count).sum();
            let present: u64 = groups.iter().map(|group| group.count).sum::<u64>() + nulls;
            let mut buckets = Vec::with_capacity(groups.len() + 1);
            for group in groups {
                buckets.push(Bucket { count: counted(group.count), value: group.value(&mut db, path).await? });
            }
            let without = total.saturating_sub(present) + nulls;
            if without > 0 {
                buckets.push(Bucket { value: Value::Null, count: counted(without) });
            }
            distinct.metadata.push(buckets);
        }
        if wants.families {
            let groups = groups(&mut db, &room, &condition, FAMILY).await?;
            let buckets =
                groups.iter().map(|group| Ok(Bucket { value: group.text.parse()?, count: counted(group.count) }));
            distinct.families = Some(buckets.collect::<Result<_>>()?);
        }
        if wants.specs {
            let mut by_text: BTreeMap<String, u64> = BTreeMap::new();
            for group in groups(&mut db, &room, &condition, SPECS).await? {
                *by_text.entry(group.text).or_default() += group.count;
            }
            let buckets = by_text.into_iter().map(|(text, count)| {
                let value = serde_json::from_str(&text).internal(|| "reading specs".into())?;
                Ok(Bucket { value, count: counted(count) })
            });
            distinct.specs = Some(buckets.collect::<Result<_>>()?);
        }
        Ok(distinct)
    }
}

/// One value of the index.
struct Group {
    kind: i64,
    /// As text, whatever the kind.
    text: String,
    number: f64,
    integer: bool,
    count: u64,
    /// A node that has it.
    node: i64,
}

async fn groups(db: &mut SqliteConnection, room: &Room, condition: &Condition, path: i64) -> Result<Vec<Group>> {
    let mut sql = Sql::new(
        "SELECT l.kind, CAST(l.value AS TEXT) AS text, CAST(l.value AS REAL) AS number, \
         typeof(l.value) = 'integer' AS whole, count(*) AS count, min(l.node) AS node FROM leaf l WHERE l.parent = ",
    );
    sql.bind(room.parent.id.0).push(" AND l.path = ").bind(path);
    if !condition.is_always() {
        let driver = driver::choose(db, room, condition, &Order::created()).await?;
        sql.push(" AND l.node IN (").add(&Question { room, condition, driver: &driver }.all()).push(")");
    }
    sql.push(" GROUP BY l.kind, l.value ORDER BY l.kind, l.value LIMIT ").bind(MAX_VALUES + 1);
    let rows = sql.fetch_all(db).await.sql("searching")?;
    if rows.len() > MAX_VALUES {
        return Err(Error::unprocessable(format!(
            "There are more than {MAX_VALUES} different values. Narrow the search down, or page through the nodes sorted by this key."
        )));
    }
    let groups = rows.iter().map(|row| Group {
        kind: row.get("kind"),
        text: row.get("text"),
        number: row.get("number"),
        integer: row.get("whole"),
        count: row.get::<i64, _>("count") as u64,
        node: row.get("node"),
    });
    Ok(groups.collect())
}

impl Group {
    async fn value(&self, db: &mut SqliteConnection, path: &KeyPath) -> Result<Value> {
        Ok(match self.kind {
            k if k == Kind::Number as i64 && self.integer => self.text.parse::<i64>().unwrap_or_default().into(),
            k if k == Kind::Number as i64 => self.number.into(),
            k if k == Kind::Text as i64 && self.text.len() <= WHOLE_TEXT => Value::String(self.text.clone()),
            k if k == Kind::Bool as i64 => Value::Bool(self.text == "1"),
            // The index holds only a hash of lists and objects, and not the whole of long texts.
            _ => {
                let node = nodes::by_id(db, NodeId(self.node)).await?;
                path.find(&node.metadata.to_value()).cloned().unwrap_or_default()
            }
        })
    }
}

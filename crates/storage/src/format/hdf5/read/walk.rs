//! From a path in a file to the object that is there, links followed: soft ones within the file, external ones to files
//! that may be read.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, LazyLock};

use girih_model::{Error, Result};
use hdf5_reader::Hdf5File;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::shared::{self, SharedMessage};
use hdf5_reader::object_header::ObjectHeader;
use moka::sync::Cache;

use super::super::storage::{self, damaged, within};
use super::links::{self, Link, Target};
use super::raw;
use super::virtual_dataset::Described;
use crate::format::guard::guarded;
use crate::place::file::Stamp;
use crate::place::{Location, Places};

/// Most bytes that are read for the links of a group.
const MAX_LINK_BYTES: u64 = 256 << 20;
/// Most bytes that are read for the datatype of a dataset, with what the library reads beside it.
const MAX_TYPE_BYTES: u64 = 64 << 20;
const DATATYPE: u16 = 0x3;
/// Links that lead to links.
const MAX_LINKS: usize = 32;
/// Most bytes of the links of groups that are kept, about.
const REMEMBERED: u64 = 16 << 20;

static GROUPS: LazyLock<Cache<(Stamp, u64), Arc<Members>>> = LazyLock::new(|| {
    let weigh = |_: &(Stamp, u64), members: &Arc<Members>| {
        let names: usize = members.links.iter().map(|link| 2 * link.name.len() + 160).sum();
        u32::try_from(256 + names).unwrap_or(u32::MAX)
    };
    Cache::builder().max_capacity(REMEMBERED).weigher(weigh).build()
});

/// The links of a group.
pub(super) struct Members {
    pub(super) links: Vec<Link>,
    by_name: HashMap<String, usize>,
}

impl Members {
    pub(super) fn find(&self, name: &str) -> Option<&Link> {
        self.links.get(*self.by_name.get(name)?)
    }

    /// What an object of the same file is called here.
    pub(super) fn name_of(&self, address: u64) -> Option<&str> {
        let is = |link: &&Link| matches!(link.target, Target::Object(here) if here == address);
        self.links.iter().find(is).map(|link| link.name.as_str())
    }
}

/// An open file.
pub(super) struct Opened {
    pub(super) location: Location,
    pub(super) hdf5: Hdf5File,
    pub(super) stamp: Option<Stamp>,
}

impl Opened {
    pub(super) fn open(location: Location) -> Result<Arc<Self>> {
        let file = location.open_file()?;
        Self::of(file, location)
    }

    /// The file that was opened there.
    pub(super) fn of(file: File, location: Location) -> Result<Arc<Self>> {
        let stamp = Stamp::of(&file);
        Ok(Arc::new(Self { location, hdf5: storage::open(file)?, stamp }))
    }

    fn members(&self, address: u64) -> Result<Arc<Members>> {
        let key = self.stamp.map(|stamp| (stamp, address));
        if let Some(members) = key.as_ref().and_then(|key| GROUPS.get(key)) {
            return Ok(members);
        }
        let links = guarded(|| within(MAX_LINK_BYTES, || links::of_group(&self.hdf5, address)));
        let links = links.unwrap_or_else(|| Err(damaged("its links contradict themselves")))?;
        let by_name = links.iter().enumerate().map(|(n, link)| (link.name.clone(), n)).collect();
        let members = Arc::new(Members { links, by_name });
        if let Some(key) = key {
            GROUPS.insert(key, members.clone());
        }
        Ok(members)
    }

    fn header(&self, address: u64) -> Result<Arc<ObjectHeader>> {
        let parse = || self.hdf5.get_or_parse_header(address).map_err(damaged);
        guarded(parse).unwrap_or_else(|| Err(damaged("it contradicts itself")))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Group,
    Dataset,
    /// A datatype with a name.
    Other,
}

/// Something in a file.
#[derive(Clone)]
pub(super) struct Object {
    /// The file that it really lies in.
    pub(super) file: Arc<Opened>,
    /// The path that leads there without soft and external links.
    pub(super) path: String,
    pub(super) address: u64,
}

impl Object {
    pub(super) fn root(file: Arc<Opened>) -> Result<Self> {
        let address = file.hdf5.superblock().root_object_header_address().map_err(damaged)?;
        Ok(Self { file, path: String::new(), address })
    }

    pub(super) fn header(&self) -> Result<Arc<ObjectHeader>> {
        self.file.header(self.address)
    }

    /// The datatype of a dataset as it is encoded.
    pub(super) fn raw_datatype(&self) -> Result<Vec<u8>> {
        let hdf5 = &self.file.hdf5;
        let (offset, length) = (hdf5.superblock().offset_size, hdf5.superblock().length_size);
        let mut address = self.address;
        // It may be that of a datatype with a name.
        for _ in 0..2 {
            let messages = raw::messages(hdf5, address).unwrap_or_default();
            let Some(found) = messages.into_iter().find(|message| message.kind == DATATYPE) else { break };
            if !found.is_shared {
                return Ok(found.body);
            }
            match shared::parse(&mut Cursor::new(&found.body), DATATYPE, offset, length, found.body.len()) {
                Ok(SharedMessage::SharedInOhdr { address: there, .. }) => address = there,
                _ => break,
            }
        }
        // Where objects share messages, the library finds them.
        let read = || hdf5.dataset(&self.path).and_then(|dataset| dataset.raw_datatype());
        let found = guarded(|| within(MAX_TYPE_BYTES, read).map_err(damaged));
        found.unwrap_or_else(|| Err(damaged("the type of a dataset contradicts itself")))
    }

    /// Its items are those of others.
    pub(super) fn is_virtual(&self) -> bool {
        // The library does not know this kind of layout, and gives no header.
        self.header().is_err() && Described::of(self).is_ok_and(|found| found.is_some())
    }

    pub(super) fn kind(&self) -> Result<Kind> {
        if self.is_virtual() {
            return Ok(Kind::Dataset);
        }
        let header = self.header()?;
        let is_dataset = |message: &HdfMessage| matches!(message, HdfMessage::DataLayout(_) | HdfMessage::Dataspace(_));
        let is_datatype = |message: &HdfMessage| matches!(message, HdfMessage::Datatype(_));
        Ok(match &header.messages {
            messages if messages.iter().any(is_dataset) => Kind::Dataset,
            messages if messages.iter().any(is_datatype) => Kind::Other,
            _ => Kind::Group,
        })
    }

    pub(super) fn members(&self) -> Result<Arc<Members>> {
        self.file.members(self.address)
    }

    /// What a hard link of this group leads to.
    pub(super) fn member(&self, name: &str, address: u64) -> Self {
        Self { file: self.file.clone(), path: format!("{}/{name}", self.path), address }
    }

    /// Whether both are the same object.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.address == other.address && self.file.location.absolute() == other.file.location.absolute()
    }

    /// What lies at a path from here; `None` when there is no such thing.
    ///
    /// # Errors
    /// `Gone` when a link on the way leads nowhere.
    pub(super) fn at(&self, path: &str, places: &Places) -> Result<Option<Self>> {
        self.follow(path, places, &mut 0)
    }

    fn follow(&self, path: &str, places: &Places, links: &mut usize) -> Result<Option<Self>> {
        let mut here = match path.starts_with('/') {
            true => Self::root(self.file.clone())?,
            false => self.clone(),
        };
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if here.kind()? != Kind::Group {
                return Ok(None);
            }
            let members = here.members()?;
            let Some(link) = members.find(name) else { return Ok(None) };
            here = here.target(link, places, links)?;
        }
        Ok(Some(here))
    }

    /// What a link of this group leads to.
    ///
    /// # Errors
    /// `Gone` when it leads nowhere.
    pub(super) fn linked(&self, link: &Link, places: &Places) -> Result<Self> {
        self.target(link, places, &mut 0)
    }

    fn target(&self, link: &Link, places: &Places, links: &mut usize) -> Result<Self> {
        let name = &link.name;
        if !matches!(link.target, Target::Object(_)) {
            *links += 1;
            if *links > MAX_LINKS {
                return Err(Error::gone(format!("The link {name:?} leads in a circle.")));
            }
        }
        match &link.target {
            Target::Object(address) => Ok(self.member(name, *address)),
            Target::Path(path) => {
                let found = self.follow(path, places, links)?;
                found.ok_or_else(|| Error::gone(format!("The link {name:?} leads nowhere: the file has no {path:?}.")))
            }
            Target::File { name: file, path } => {
                let broken = |e: Error| {
                    Error::gone(format!("The link {name:?} leads to the file {file:?}, which cannot be read here."))
                        .with_source(e)
                };
                let location = places.beside(&self.file.location, file).map_err(broken)?;
                let root = Self::root(Opened::open(location).map_err(broken)?)?;
                let found = root.follow(path.trim_start_matches('/'), places, links)?;
                found.ok_or_else(|| {
                    Error::gone(format!("The link {name:?} leads nowhere: the file {file:?} has no {path:?}."))
                })
            }
        }
    }
}

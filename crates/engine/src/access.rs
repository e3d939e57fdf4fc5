//! Who may do what.

use girih_model::{Error, Result};

/// One permission ("scope" in the protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    ReadMetadata,
    ReadData,
    CreateNode,
    Register,
    WriteMetadata,
    WriteData,
    DeleteRevision,
    DeleteNode,
    Metrics,
}

impl Permission {
    pub const ALL: [Self; 9] = [
        Self::ReadMetadata,
        Self::ReadData,
        Self::CreateNode,
        Self::Register,
        Self::WriteMetadata,
        Self::WriteData,
        Self::DeleteRevision,
        Self::DeleteNode,
        Self::Metrics,
    ];

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadMetadata => "read:metadata",
            Self::ReadData => "read:data",
            Self::CreateNode => "create:node",
            Self::Register => "register",
            Self::WriteMetadata => "write:metadata",
            Self::WriteData => "write:data",
            Self::DeleteRevision => "delete:revision",
            Self::DeleteNode => "delete:node",
            Self::Metrics => "metrics",
        }
    }
}

/// Who is asking, and what they may do. Made by the door, trusted by the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// For the log: `anon`, `singleuser`, a user's name.
    pub name: String,
    /// False for a caller without credentials.
    pub authenticated: bool,
    permissions: Vec<Permission>,
}

impl Caller {
    /// A caller without credentials, who may do nothing.
    pub fn stranger() -> Self {
        Self { name: "anon".into(), authenticated: false, permissions: Vec::new() }
    }

    /// A caller without credentials where anonymous reading is allowed.
    pub fn anonymous_reader() -> Self {
        Self { permissions: vec![Permission::ReadMetadata, Permission::ReadData], ..Self::stranger() }
    }

    /// The one user of a single-user server, who may do everything.
    pub fn single_user() -> Self {
        Self { name: "singleuser".into(), authenticated: true, permissions: Permission::ALL.to_vec() }
    }

    pub fn has(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.permissions.iter().map(|p| p.name()).collect()
    }

    /// Refuses a caller who lacks one of these: `Unauthenticated` without credentials (they may help), `Forbidden` with.
    pub fn require(&self, wanted: &[Permission]) -> Result<()> {
        if wanted.iter().all(|p| self.has(*p)) {
            return Ok(());
        }
        let wanted: Vec<_> = wanted.iter().map(|p| p.name()).collect();
        let message =
            format!("Not enough permissions. Requires scopes {wanted:?}. Request had scopes {:?}", self.names());
        Err(if self.authenticated { Error::forbidden(message) } else { Error::unauthenticated(message) })
    }
}

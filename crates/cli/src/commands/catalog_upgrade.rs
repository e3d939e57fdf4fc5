use clap::Args;

use crate::exit::Failure;

/// Bring a catalog's database to the form that this version uses
///
/// Stop the servers that use it, and make a copy of the file, before.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// A file, or sqlite:///path
    #[arg(default_value = "catalog.db")]
    database: String,
}

impl Upgrade {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let told = girih_engine::catalog::upgrade(&self.database).await.map_err(Failure::catalog)?;
        super::print(&told)
    }
}

use clap::Args;

use crate::exit::Failure;

/// Make the database of a catalog
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  girih catalog init sqlite:///catalog.db
  girih serve catalog sqlite:///catalog.db --write data/")]
pub(crate) struct Init {
    /// A file, or sqlite:///path
    #[arg(default_value = "catalog.db")]
    database: String,
    /// Do nothing when the database exists
    #[arg(long)]
    if_not_exists: bool,
}

impl Init {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let made = girih_engine::catalog::init(&self.database, self.if_not_exists).await.map_err(Failure::catalog)?;
        super::print(&if made {
            format!("Made the catalog {}.", self.database)
        } else {
            format!("The catalog {} exists already.", self.database)
        })
    }
}

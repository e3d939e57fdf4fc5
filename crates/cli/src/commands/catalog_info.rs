use clap::Args;

use crate::exit::Failure;

/// Tell what a catalog's database holds, as JSON
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A file, or sqlite:///path
    #[arg(default_value = "catalog.db")]
    database: String,
}

impl Info {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let info = girih_engine::catalog::info(&self.database).await.map_err(Failure::catalog)?;
        super::print(&serde_json::to_string_pretty(&info).map_err(|e| Failure::other(e.to_string()))?)
    }
}

use clap::Args;
use girih_engine::Engine;
use girih_engine::check::{CheckOptions, Finding};
use girih_server::config::Config;

use super::serve_catalog::located;
use crate::exit::Failure;
use crate::listen;

/// Compare a catalog with its files, and remove what a crash left behind
///
/// Looks for damage in the database, wrong counts, nodes whose data is missing or does not open, and files that nothing
/// refers to. It may run while servers do: files that are younger than a quarter of an hour or in use are left alone.
///
/// If several catalogs keep their data in one directory, do not repair: each would take the others' files for orphans.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  girih catalog check my-data
  girih catalog check my-data --data --repair
  girih catalog check sqlite:///catalog.db --write data/

Exit status: 0 all is well, or has been repaired; 1 something is wrong")]
pub(crate) struct Check {
    /// A directory, a file *.db, or sqlite:///path
    #[arg(value_name = "CATALOG")]
    target: String,
    /// A directory with the catalog's data; may be given more than once
    #[arg(short, long, value_name = "DIR")]
    write: Vec<String>,
    /// Read all data and verify the checksums
    #[arg(long)]
    data: bool,
    /// Remove files that nothing refers to, and correct counts
    #[arg(long)]
    repair: bool,
    /// Tell what is found as JSON, one finding a line
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut config = Config::from_environment(&listen::environment).map_err(Failure::configuration)?;
        let (uri, writable) = located(&self.target, &self.write)?;
        config.add_catalog(&uri, false, &writable, &[]).map_err(Failure::configuration)?;
        let engine = Engine::start(config.engine.clone()).await.map_err(Failure::catalog)?;
        let options = CheckOptions { data: self.data, repair: self.repair };
        let mut printed = Ok(());
        let tell = |finding: Finding| {
            let line = if self.json { serde_json::to_string(&finding).unwrap_or_default() } else { line(&finding) };
            if printed.is_ok() {
                printed = super::print(&line);
            }
        };
        let checked = engine.check(options, tell).await.map_err(Failure::catalog);
        engine.close().await;
        let checked = checked?;
        printed?;
        if !self.json {
            super::print(&format!(
                "Looked at {} data sources and {} files: {} findings, {} repaired.",
                checked.data_sources, checked.files, checked.findings, checked.repaired
            ))?;
        }
        match checked.findings - checked.repaired {
            0 => Ok(()),
            left => Err(Failure::other(format!("{left} findings are left; see above."))),
        }
    }
}

fn line(finding: &Finding) -> String {
    let end = if finding.repaired { " (repaired)" } else { "" };
    format!("{}: {}{end}", finding.place, finding.what)
}

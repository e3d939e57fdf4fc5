use std::path::PathBuf;

use clap::Args;
use girih_server::config::Config;

use crate::exit::Failure;
use crate::listen::{self, Access, Door, Listen};
use crate::logging::Logging;

/// Serve what a configuration file describes
///
/// The file is Tiled's YAML. A setting that girih does not know or does not support yet is an error, never ignored. Options of
/// the command line win over the environment (TILED_... or GIRIH_...), and these over the file.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  printf 'catalog: {uri: \"sqlite:///c.db\", init_if_not_exists: true, writable_storage: [data]}' > config.yml
  girih serve config config.yml --port 9000")]
pub(crate) struct Configured {
    /// A file, or a directory whose *.yml and *.yaml complement one another [default: config.yml] [env: GIRIH_CONFIG, TILED_CONFIG]
    path: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    logging: Logging,
}

impl Configured {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let _log = self.logging.start()?;
        let variable = || ["GIRIH_CONFIG", "TILED_CONFIG"].into_iter().find_map(listen::environment);
        let path = self.path.or_else(|| variable().map(PathBuf::from)).unwrap_or_else(|| "config.yml".into());
        let mut config = Config::load(&path, &listen::environment).map_err(Failure::configuration)?;
        self.listen.apply(&mut config);
        let random_key = self.access.apply(&mut config)?;
        let mut door = Door::open(&config).await?;
        match door.start(&config).await? {
            Some(engine) => door.serve(engine, config, random_key).await,
            None => Ok(()),
        }
    }
}

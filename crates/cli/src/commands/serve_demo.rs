use clap::Args;
use girih_server::config::Config;

use super::serve_catalog::temporary_directory;
use crate::exit::Failure;
use crate::listen::{self, Door, Listen};
use crate::logging::Logging;

mod content;

/// Serve example data, for everybody to read
///
/// X-ray reference data of 98 elements and some images, in a temporary catalog. Nobody can write.
#[derive(Debug, Args)]
#[command(after_help = "\
Then, in Python (pip install \"tiled[client]\"):
  from tiled.client import from_uri
  c = from_uri(\"http://127.0.0.1:8000\")
  c[\"examples/xraydb/C/edges\"].read()")]
pub(crate) struct Demo {
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    logging: Logging,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let _log = self.logging.start()?;
        let mut config = Config::from_environment(&listen::environment).map_err(Failure::configuration)?;
        self.listen.apply(&mut config);
        config.allow_anonymous = true;
        config.api_key = None;
        let mut door = Door::open(&config).await?;

        let directory = temporary_directory()?;
        let path = |name| directory.path().join(name).to_string_lossy().into_owned();
        config.add_catalog(&path("catalog.db"), true, &[path("data")], &[]).map_err(Failure::configuration)?;
        let Some(engine) = door.start(&config).await? else { return Ok(()) };
        tokio::select! {
            loaded = content::load(&engine) => loaded.map_err(Failure::catalog)?,
            // The temporary catalog is removed as it is.
            () = door.signalled() => return Ok(()),
        }
        door.serve(engine, config, false).await
    }
}

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use girih_engine::Caller;
use girih_engine::register::{Files, Local, Registrar, Watch};
use girih_model::NodePath;
use girih_server::config::Config;

use super::register::choice::Choice;
use super::register::progress::Progress;
use super::serve_catalog::temporary_directory;
use crate::exit::Failure;
use crate::listen::{self, Access, Door, Listen};
use crate::logging::Logging;

/// Serve the files of a directory, for reading
///
/// The server answers at once, and files appear as they are indexed. Nothing is copied and nothing is written: the index is
/// temporary. Directories become containers, numbered pictures one array, files that nothing is known of can be downloaded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  girih serve directory /mnt/beamline --watch
  girih serve directory . --public --ext .dat=text/csv")]
pub(crate) struct Directory {
    /// The directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Follow the changes: new, changed and deleted files
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    logging: Logging,
}

impl Directory {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let _log = self.logging.start()?;
        let mut config = Config::from_environment(&listen::environment).map_err(Failure::configuration)?;
        self.listen.apply(&mut config);
        let random_key = self.access.apply(&mut config)?;
        let options = self.choice.options()?;
        let files = Files::open(&self.directory).map_err(Failure::catalog)?;
        let mut door = Door::open(&config).await?;

        // Removed when it is dropped.
        let temporary = temporary_directory()?;
        let database = temporary.path().join("catalog.db").to_string_lossy().into_owned();
        let readable = [files.path().to_string_lossy().into_owned()];
        config.add_catalog(&database, true, &[], &readable).map_err(Failure::configuration)?;
        let Some(engine) = door.start(&config).await? else { return Ok(()) };

        let path = files.path();
        let target = Arc::new(Local { engine: engine.clone(), caller: Caller::single_user() });
        let progress = Progress::logged();
        let registrar = Registrar::new(files, NodePath::root(), options, target, true, progress.recorder());
        let indexing = tokio::spawn(index(registrar, path, self.watch, progress));
        let served = door.serve(engine, config, random_key).await;
        indexing.abort();
        served
    }
}

async fn index(mut registrar: Registrar, path: PathBuf, watch: bool, progress: Progress) {
    // What changes while all is looked through for the first time is not missed.
    let watching = if watch { Some(Watch::start(&path).await) } else { None };
    tracing::info!(directory = %path.display(), "indexing files");
    let done = tokio::select! {
        done = registrar.run() => done,
        () = progress.tell() => Ok(()),
    };
    match done {
        Ok(()) => tracing::info!("indexing complete: {}", progress.totals()),
        Err(e) => tracing::error!(error = %e, "indexing failed"),
    }
    if let Some(watching) = watching {
        tracing::info!("watching for changes");
        if let Err(e) = watching.follow(&mut registrar).await {
            tracing::error!(error = %e, "changes are not followed any more");
        }
    }
}

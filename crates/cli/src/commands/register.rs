use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use girih_client::Client;
use girih_engine::register::{DryRun, Files, Registrar, SurveyOptions, Target, Watch};
use girih_model::{Error, NodePath};

use crate::exit::Failure;
use crate::logging::Logging;

pub(crate) mod choice;
mod hook;
pub(crate) mod progress;
mod remote;

use choice::Choice;
use progress::Progress;
use remote::Remote;

/// Register files in a running server, where they lie
///
/// Files are looked into here, and their description is sent: shapes, types, metadata, and where they are. The server reads them
/// when somebody asks, so it must see them under the same path, and may read them (girih serve catalog --read DIR).
///
/// What is in the container and not among the files is taken out of it, unless --no-overwrite; data that the server keeps itself is
/// never deleted. To register again costs little, and changes only what has changed: after an interruption, just repeat the command.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  girih register http://127.0.0.1:8000 /mnt/beamline/run7 --prefix /run7
  girih register http://127.0.0.1:8000 /mnt/beamline/run7 --dry-run --report files.jsonl
  girih register \"http://127.0.0.1:8000?api_key=secret\" scan.h5")]
pub(crate) struct Register {
    /// Address of the server or of a container in it
    #[arg(value_name = "URL")]
    address: String,
    /// A file or a directory
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The container that the entries go to; it is made if there is none
    #[arg(long, value_name = "PATH", default_value = "/")]
    prefix: String,
    /// Go on, and follow the changes
    #[arg(short, long, conflicts_with = "dry_run")]
    watch: bool,
    /// Only look into the files, and tell what they would become
    #[arg(long)]
    dry_run: bool,
    /// Leave alone what is in the container already
    #[arg(long)]
    no_overwrite: bool,
    /// Write what became of each file, as lines of JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The server's key; better set it in the environment [env: TILED_API_KEY, GIRIH_API_KEY]
    #[arg(long, value_name = "KEY", hide_env_values = true)]
    api_key: Option<String>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    logging: Logging,
}

impl Register {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let _log = self.logging.start()?;
        let options = self.choice.options()?;
        let key = self.api_key.clone();
        let key = key.or_else(|| ["TILED_API_KEY", "GIRIH_API_KEY"].iter().find_map(|name| std::env::var(name).ok()));
        let client = Client::new(&self.address, key).map_err(|e| Failure::usage(e.message()))?;
        let prefix = NodePath::parse(self.prefix.trim_matches('/')).and_then(|prefix| client.path().join(&prefix));
        let prefix = prefix.map_err(|e| Failure::usage(format!("--prefix: {}", e.message())))?;
        let files = Files::open(&self.path).map_err(|e| Failure::usage(e.message()))?;
        let progress = Progress::reported(self.report.as_deref(), self.dry_run)?;
        let target: Arc<dyn Target> = if self.dry_run { Arc::new(DryRun) } else { Arc::new(Remote(client)) };
        let path = files.path();
        let watching = if self.watch { Some(Watch::start(&path).await) } else { None };
        let registrar = self.registrar(files, prefix, options, target, &progress);
        self.go(registrar, watching, &progress).await
    }

    fn registrar(
        &self,
        files: Files,
        prefix: NodePath,
        options: SurveyOptions,
        target: Arc<dyn Target>,
        progress: &Progress,
    ) -> Registrar {
        Registrar::new(files, prefix, options, target, !self.no_overwrite, progress.recorder())
    }

    async fn go(&self, mut registrar: Registrar, watching: Option<Watch>, progress: &Progress) -> Result<(), Failure> {
        let failed = |e: Error| Failure::other(e.message());
        tokio::select! {
            done = registrar.run() => done.map_err(failed)?,
            () = progress.tell() => {}
        }
        progress.finish()?;
        super::print(&format!(
            "{}: {}",
            if self.dry_run { "Would be registered" } else { "Registered" },
            progress.totals()
        ))?;
        if let Some(watching) = watching {
            tracing::info!("watching for changes");
            watching.follow(&mut registrar).await.map_err(failed)?;
        }
        match progress.count().failed {
            0 => Ok(()),
            failed => Err(Failure::other(format!("{failed} files could not be registered; see above, or --report."))),
        }
    }
}

//! How far a registration has come.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use girih_engine::register::{Outcome, Record, Totals};
use tokio::time::sleep;

use crate::exit::Failure;

/// How often it is told.
const EVERY: Duration = Duration::from_secs(2);

/// Counts what became of files, and tells it.
#[derive(Clone)]
pub(crate) struct Progress {
    state: Arc<Mutex<State>>,
}

struct State {
    totals: Totals,
    /// One line of JSON for each record.
    report: Option<BufWriter<File>>,
    /// What is registered is printed, too.
    verbose: bool,
}

impl Progress {
    /// What is odd goes into the log.
    pub(crate) fn logged() -> Self {
        Self::new(None, false)
    }

    fn new(report: Option<BufWriter<File>>, verbose: bool) -> Self {
        Self { state: Arc::new(Mutex::new(State { totals: Totals::default(), report, verbose })) }
    }

    /// With a report in a file.
    pub(crate) fn reported(report: Option<&Path>, verbose: bool) -> Result<Self, Failure> {
        let file = report.map(|path| {
            let file = File::create(path);
            file.map_err(|e| Failure::usage(format!("--report {}: {e}", path.display()))).map(BufWriter::new)
        });
        Ok(Self::new(file.transpose()?, verbose))
    }

    pub(crate) fn recorder(&self) -> impl FnMut(Record) + Send + 'static {
        let state = self.state.clone();
        move |record| state.lock().unwrap_or_else(PoisonError::into_inner).note(&record)
    }

    pub(crate) fn totals(&self) -> String {
        told(&self.count())
    }

    pub(crate) fn count(&self) -> Totals {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).totals
    }

    /// Tells from time to time how far it is; never ends.
    pub(crate) async fn tell(&self) {
        let mut before = Totals::default();
        loop {
            sleep(EVERY).await;
            let now = self.count();
            if now != before {
                tracing::info!("so far: {}", told(&now));
                before = now;
            }
        }
    }

    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = state.report.as_mut().map_or(Ok(()), Write::flush);
        written.map_err(|e| Failure::other(format!("The report cannot be written: {e}")))
    }
}

impl State {
    fn note(&mut self, record: &Record) {
        self.totals.count(record);
        if let Some(report) = &mut self.report
            && let Ok(line) = serde_json::to_string(record)
        {
            // A full disk is told at the end.
            let _ = writeln!(report, "{line}");
        }
        match &record.outcome {
            Outcome::Failed { reason } => tracing::warn!(file = record.file, "not registered: {reason}"),
            Outcome::Skipped { reason } => tracing::debug!(file = record.file, "skipped: {reason}"),
            Outcome::Registered { path, family, media_type } => {
                if self.verbose {
                    tracing::info!("{} is /{path}: {family} ({media_type})", record.file);
                } else {
                    tracing::debug!("{} is /{path}: {family} ({media_type})", record.file);
                }
            }
            Outcome::Removed { path } => tracing::debug!("/{path} is removed, for its files are gone"),
        }
    }
}

fn told(totals: &Totals) -> String {
    let Totals { files, nodes, skipped, failed, removed } = totals;
    let mut text = format!("{nodes} entries from {files} files");
    for (count, what) in [(skipped, "skipped"), (failed, "not readable"), (removed, "entries removed")] {
        if *count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

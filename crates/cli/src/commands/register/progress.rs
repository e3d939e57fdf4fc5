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
    /// Each line is written at once.
    is_live: bool,
    /// The last line could not be written.
    is_report_failing: bool,
    /// What is registered is printed, too.
    verbose: bool,
}

impl Progress {
    /// What is odd goes into the log.
    pub(crate) fn logged() -> Self {
        Self::new(None, false)
    }

    fn new(report: Option<BufWriter<File>>, verbose: bool) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                totals: Totals::default(),
                report,
                is_live: false,
                is_report_failing: false,
                verbose,
            })),
        }
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

    /// All of the report is in its file, and each line is from now on.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_live = true;
        let written = state.report.as_mut().map_or(Ok(()), Write::flush);
        written.map_err(|e| Failure::other(format!("The report cannot be written: {e}")))
    }
}

impl State {
    fn note(&mut self, record: &Record) {
        self.totals.count(record);
        self.write(record);
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

    /// A full disk is told at the end, or when it begins; it keeps nothing from being registered.
    fn write(&mut self, record: &Record) {
        let (Some(report), Ok(line)) = (&mut self.report, serde_json::to_string(record)) else { return };
        let written = writeln!(report, "{line}").and_then(|()| if self.is_live { report.flush() } else { Ok(()) });
        if let Err(e) = &written
            && !self.is_report_failing
        {
            tracing::warn!("the report cannot be written: {e}");
        }
        self.is_report_failing = written.is_err();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_line_by_line_once_the_first_round_is_done() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("report");
        let progress = Progress::reported(Some(&path), false).unwrap();
        let mut record = progress.recorder();
        let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
        let removed = || Record { file: String::new(), files: 0, outcome: Outcome::Removed { path: "a".into() } };
        record(removed());
        progress.finish().unwrap();
        assert_eq!(lines(), 1);
        record(removed());
        assert_eq!((lines(), progress.count().removed), (2, 2));
    }
}

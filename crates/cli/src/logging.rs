//! Logs go to stderr, as text or JSON; stdout is for what the user asked for.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::BufWriter;
use std::panic::PanicHookInfo;

use clap::{Args, ValueEnum};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::exit::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct Logging {
    /// Log more: -v for details, -vv for everything [GIRIH_LOG=... chooses by module, e.g. girih_engine=debug]
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Form of the log
    #[arg(long, value_enum, default_value_t = Format::Text, env = "GIRIH_LOG_FORMAT")]
    log_format: Format,
    /// Begin each line with the time (always there in JSON)
    #[arg(long)]
    log_timestamps: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Logging {
    /// Lines are written by a thread of their own, many at once where there are many. What is returned writes the last
    /// of them when it is dropped.
    pub(crate) fn start(&self) -> Result<WorkerGuard, Failure> {
        let level = match self.verbose {
            0 => "warn,girih=info",
            1 => "info,girih=debug",
            _ => "debug,girih=trace",
        };
        let filter = match std::env::var("GIRIH_LOG") {
            Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives)
                .map_err(|e| Failure::usage(format!("GIRIH_LOG={directives:?} is not a filter: {e}")))?,
            _ => EnvFilter::new(level),
        };
        // Who logs faster than stderr takes waits: no line is lost.
        let lines = NonBlockingBuilder::default().lossy(false).thread_name("log");
        let (writer, guard) = lines.finish(BufWriter::new(std::io::stderr()));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_span_events(FmtSpan::NONE)
            .with_writer(writer)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
        match (self.log_format, self.log_timestamps) {
            (Format::Json, _) => log.json().flatten_event(true).init(),
            (Format::Text, true) => log.init(),
            (Format::Text, false) => log.without_time().init(),
        }
        std::panic::set_hook(Box::new(report_panic));
        Ok(guard)
    }
}

/// A panic costs a request, and one line of the log: what makes a decoder panic can be sent again and again.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message").replace('\n', " ");
    tracing::error!(target: "girih::panic", place, message, "panicked");
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        tracing::debug!(target: "girih::panic", "{trace}");
    }
}

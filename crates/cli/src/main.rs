//! `girih`: serves catalogs, and looks after them.

mod commands;
mod exit;
mod listen;
mod logging;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// What one thread makes, another gives back: an allocator that keeps little of it (docs/decisions/009-allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Secure, structured access to scientific data.
///
/// girih finds, slices, converts and stores arrays, tables and trees of them, and speaks the HTTP protocol of Tiled, so that
/// Tiled's clients work with it.
#[derive(Debug, Parser)]
#[command(name = "girih", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

const EXAMPLES: &str = "\
Examples:
  girih serve demo                     look around in example data
  girih serve catalog                  a temporary catalog to write into
  girih serve catalog my-data          a catalog that stays, in the directory my-data
  girih serve config config.yml        as configured in a file

Exit status:
  0  ended as it should, also after SIGTERM or SIGINT
  1  failed for another reason
  2  wrong options or arguments
  3  the configuration is wrong
  4  the catalog or its storage cannot be opened
  5  the address cannot be listened on";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return report(exit::Failure::other(format!("The runtime cannot be started: {e}"))),
    };
    match runtime.block_on(cli.command.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(failure),
    }
}

/// One line, so that it is found in a service's log.
fn report(failure: exit::Failure) -> ExitCode {
    let line = failure.message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    // If stderr is gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "girih: {line}");
    ExitCode::from(failure.code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_options_are_consistent() {
        Cli::command().debug_assert();
    }
}

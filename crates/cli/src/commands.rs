//! One file per command.

use clap::Subcommand;

use crate::exit::Failure;

mod catalog_check;
mod catalog_info;
mod catalog_init;
mod catalog_upgrade;
mod register;
mod serve_catalog;
mod serve_config;
mod serve_demo;
mod serve_directory;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server
    #[command(subcommand)]
    Serve(Serve),
    Register(register::Register),
    /// Look after a catalog's database
    #[command(subcommand)]
    Catalog(Catalog),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Serve {
    Demo(serve_demo::Demo),
    Catalog(serve_catalog::Catalog),
    Directory(serve_directory::Directory),
    Config(serve_config::Configured),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    Init(catalog_init::Init),
    Info(catalog_info::Info),
    Upgrade(catalog_upgrade::Upgrade),
    Check(catalog_check::Check),
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Register(command) => command.run().await,
            Self::Serve(Serve::Demo(command)) => command.run().await,
            Self::Serve(Serve::Catalog(command)) => command.run().await,
            Self::Serve(Serve::Directory(command)) => command.run().await,
            Self::Serve(Serve::Config(command)) => command.run().await,
            Self::Catalog(Catalog::Init(command)) => command.run().await,
            Self::Catalog(Catalog::Info(command)) => command.run().await,
            Self::Catalog(Catalog::Upgrade(command)) => command.run().await,
            Self::Catalog(Catalog::Check(command)) => command.run().await,
        }
    }
}

/// Prints what the user asked for.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|e| Failure::other(format!("Cannot print: {e}")))
}

//! `girih-load`: asks a server on this machine the same things over and over, on many connections, and says how long it took.
//!
//! The script comes as JSON on standard input (see [`script`]); the result goes as one line of JSON to standard output.

mod connection;
mod load;
mod script;

use std::io::Read;
use std::time::Duration;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// Address and port
    #[arg(long, default_value = "127.0.0.1:8000")]
    address: String,
    /// Connections at the same time, each with one request at a time
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Stop when the script has been run this many times
    #[arg(long)]
    runs: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let script = script::Script::parse(&text)?;
    let seconds = Duration::from_secs_f64(options.seconds);
    let outcome = load::run(&options.address, options.connections, seconds, options.runs, script).await?;
    serde_json::to_writer(std::io::stdout(), &outcome)?;
    Ok(())
}

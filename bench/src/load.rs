//! All connections together, and what they saw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::script::Script;

#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub seconds: f64,
    /// Completed runs of the script.
    pub runs: u64,
    pub requests: u64,
    /// Of all bodies.
    pub bytes: u64,
    pub runs_per_second: f64,
    /// Of a run, in milliseconds.
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    /// How many answers had which status; `-` for connections that broke.
    pub statuses: BTreeMap<String, u64>,
    /// The last failure that was seen.
    pub failure: Option<String>,
}

struct Seen {
    times: Histogram<u64>,
    requests: u64,
    bytes: u64,
    statuses: BTreeMap<String, u64>,
    failure: Option<String>,
}

pub(crate) async fn run(
    address: &str,
    connections: usize,
    seconds: Duration,
    runs: Option<u64>,
    script: Script,
) -> Result<Outcome, Box<dyn std::error::Error>> {
    let (script, numbers) = (Arc::new(script), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let worker = work(Connection::to(address), script.clone(), numbers.clone(), start + seconds, runs);
        workers.spawn(worker);
    }
    let mut all = Seen::nothing()?;
    while let Some(seen) = workers.join_next().await {
        all.add(seen??)?;
    }
    let took = start.elapsed().as_secs_f64();
    let milliseconds = |quantile: f64| all.times.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Outcome {
        seconds: took,
        runs: all.times.len(),
        requests: all.requests,
        bytes: all.bytes,
        runs_per_second: all.times.len() as f64 / took,
        p50: milliseconds(0.5),
        p99: milliseconds(0.99),
        max: milliseconds(1.0),
        statuses: all.statuses,
        failure: all.failure,
    })
}

async fn work(
    mut connection: Connection,
    script: Arc<Script>,
    numbers: Arc<AtomicU64>,
    end: Instant,
    runs: Option<u64>,
) -> Result<Seen, hdrhistogram::CreationError> {
    let mut seen = Seen::nothing()?;
    while Instant::now() < end {
        let run = numbers.fetch_add(1, Ordering::Relaxed);
        if runs.is_some_and(|runs| run >= runs) {
            break;
        }
        let start = Instant::now();
        let mut whole = true;
        for step in script.run() {
            let answer = connection.ask(&script, step, run).await;
            seen.requests += 1;
            let status = match &answer {
                Ok(answer) if answer.retry_after => format!("{} with Retry-After", answer.status.as_u16()),
                Ok(answer) => answer.status.as_u16().to_string(),
                Err(_) => "-".into(),
            };
            whole &= answer.as_ref().is_ok_and(|answer| answer.status.is_success());
            if !whole {
                seen.failure = Some(match &answer {
                    Ok(answer) => format!("{} {} gave {}", step.method, step.path, answer.status),
                    Err(e) => format!("{} {}: {e}", step.method, step.path),
                });
            }
            seen.bytes += answer.map_or(0, |answer| answer.bytes);
            *seen.statuses.entry(status).or_default() += 1;
        }
        if whole {
            seen.times.saturating_record(start.elapsed().as_micros() as u64);
        } else {
            // A server that refuses at once shall not be asked in a busy loop.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(seen)
}

impl Seen {
    fn nothing() -> Result<Self, hdrhistogram::CreationError> {
        let times = Histogram::new_with_bounds(1, 3_600_000_000, 3)?;
        Ok(Self { times, requests: 0, bytes: 0, statuses: BTreeMap::new(), failure: None })
    }

    fn add(&mut self, other: Self) -> Result<(), hdrhistogram::AdditionError> {
        self.times.add(other.times)?;
        self.requests += other.requests;
        self.bytes += other.bytes;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.failure = other.failure.or(self.failure.take());
        Ok(())
    }
}

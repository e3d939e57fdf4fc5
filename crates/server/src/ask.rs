//! A request as handlers see it: parsed as far as every route needs it, the caller known.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::WebSocketUpgrade;
use axum::http::{HeaderMap, Method};
use girih_engine::{Caller, Engine};
use girih_model::{Error, NodePath, Result};
use percent_encoding::percent_decode_str;

use crate::App;
use crate::base::BaseUrl;
use crate::client::Dialect;
use crate::query::QueryString;

/// What is found out about a request before it is routed.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) caller: Caller,
    pub(crate) base: BaseUrl,
    pub(crate) dialect: Dialect,
    pub(crate) query: QueryString,
    pub(crate) timings: Arc<Timings>,
}

pub(crate) struct Ask {
    pub(crate) app: Arc<App>,
    pub(crate) visit: Arc<Visit>,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// What follows the endpoint's own path, still encoded.
    pub(crate) rest: String,
    /// Of a request for a WebSocket.
    pub(crate) socket: Option<WebSocketUpgrade>,
}

impl Ask {
    pub(crate) fn engine(&self) -> &Engine {
        &self.app.engine
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.visit.caller
    }

    pub(crate) fn query(&self) -> &QueryString {
        &self.visit.query
    }

    pub(crate) fn api(&self) -> String {
        self.visit.base.api()
    }

    /// GET or HEAD: replies may be cached.
    pub(crate) fn is_read(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// The node that the URL names. Segments are decoded once, after they were split.
    pub(crate) fn path(&self) -> Result<NodePath> {
        let keys = self.rest.split('/').filter(|segment| !segment.is_empty()).map(|segment| {
            let key = percent_decode_str(segment).decode_utf8();
            let key = key.map_err(|_| Error::malformed(format!("{segment:?} is not percent-encoded UTF-8.")))?;
            if key.contains('/') {
                return Err(Error::unprocessable(format!(
                    "The key {key:?} contains a slash, which no key can. To separate keys, write \"/\", not \"%2F\"."
                )));
            }
            Ok(key.into_owned())
        });
        NodePath::from_keys(keys.collect::<Result<Vec<String>>>()?)
    }

    /// Awaits data and notes how long that took.
    pub(crate) async fn read<T>(&self, work: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let done = work.await;
        self.visit.timings.add("read", start.elapsed());
        done
    }
}

/// Where the time went, for `Server-Timing`.
#[derive(Debug, Default)]
pub(crate) struct Timings(Mutex<Vec<(&'static str, Duration)>>);

impl Timings {
    pub(crate) fn add(&self, name: &'static str, took: Duration) {
        let mut timings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match timings.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += took,
            None => timings.push((name, took)),
        }
    }

    pub(crate) fn list(&self) -> Vec<(&'static str, Duration)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

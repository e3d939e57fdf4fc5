//! What Prometheus may know. Each server counts for itself, so that two in one process do not mix.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, Method, header};
use metrics::{Label, Unit, describe_histogram, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

const DURATION: &str = "tiled_request_duration_seconds";
const READ: &str = "tiled_read_duration_seconds";
const LENGTH: &str = "tiled_response_content_length_bytes";

/// Seconds.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Bytes.
const LENGTH_BUCKETS: &[f64] = &[1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    recorded: AtomicU64,
}

/// Requests after which samples are put into their buckets; until then each takes memory.
const UPKEEP: u64 = 4096;

impl Metrics {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), DURATION_BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_bytes".into()), LENGTH_BUCKETS));
        let recorder = builder.expect("both lists have buckets").build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, || {
            describe_histogram!(DURATION, Unit::Seconds, "Time until the head of the response was ready");
            describe_histogram!(READ, Unit::Seconds, "Time spent on finding and opening data");
            describe_histogram!(LENGTH, Unit::Bytes, "Length of responses whose length is known beforehand");
        });
        Self { recorder, handle, recorded: AtomicU64::new(0) }
    }

    pub(crate) fn record(
        &self,
        method: &Method,
        status: u16,
        endpoint: &'static str,
        took: Duration,
        timings: &[(&'static str, Duration)],
        headers: &HeaderMap,
    ) {
        // Only methods that we know: a label per invented method would fill the memory.
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
            _ => "other".to_owned(),
        };
        let labels = vec![
            Label::new("method", method),
            Label::new("code", status.to_string()),
            Label::new("endpoint", endpoint),
        ];
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
        with_local_recorder(&self.recorder, || {
            histogram!(DURATION, labels.clone()).record(took.as_secs_f64());
            for (name, took) in timings {
                if *name == "read" {
                    histogram!(READ, labels.clone()).record(took.as_secs_f64());
                }
            }
            if let Some(length) = length {
                histogram!(LENGTH, labels).record(length);
            }
        });
        if self.recorded.fetch_add(1, Ordering::Relaxed) % UPKEEP == UPKEEP - 1 {
            self.handle.run_upkeep();
        }
    }

    /// The text format of Prometheus, version 0.0.4.
    pub(crate) fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_rendered() {
        let metrics = Metrics::new();
        let timings = [("read", Duration::from_millis(2))];
        metrics.record(&Method::GET, 200, "search", Duration::from_millis(3), &timings, &HeaderMap::new());
        let odd = Method::from_bytes(b"BREW").unwrap();
        metrics.record(&odd, 405, "unknown", Duration::from_millis(3), &[], &HeaderMap::new());
        let text = metrics.render();
        for line in [
            "tiled_request_duration_seconds_bucket{method=\"GET\",code=\"200\",endpoint=\"search\",le=\"0.005\"} 1",
            "tiled_read_duration_seconds_count{method=\"GET\",code=\"200\",endpoint=\"search\"} 1",
            "tiled_request_duration_seconds_count{method=\"other\",code=\"405\",endpoint=\"unknown\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}

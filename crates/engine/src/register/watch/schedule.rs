//! When something is to be done although nothing was told.

use std::time::{Duration, Instant};

use super::super::seen::SETTLED;

/// Everything is looked through so often, whatever is told meanwhile: there are file systems that do not tell of all
/// changes.
pub(super) const ROUND: Duration = Duration::from_secs(60);
/// What could not be done is tried again after this, and then each time later, up to [`ROUND`].
const RETRY: Duration = Duration::from_secs(5);

pub(super) struct Schedule {
    round: Instant,
    retry: Option<Instant>,
    /// Until the retry after the next.
    delay: Duration,
    settle: Option<Instant>,
}

impl Schedule {
    pub(super) fn new(now: Instant) -> Self {
        Self { round: now + ROUND, retry: None, delay: RETRY, settle: None }
    }

    /// What is to come, now that files are being written or something could not be done.
    pub(super) fn plan(&mut self, now: Instant, is_waiting: bool, is_unfinished: bool) {
        self.settle = is_waiting.then(|| now + SETTLED);
        if !is_unfinished {
            (self.retry, self.delay) = (None, RETRY);
        } else if self.retry.is_none() {
            self.retry = Some(now + self.delay);
        }
    }

    /// Until then, only what is told needs doing.
    pub(super) fn next(&self) -> Instant {
        [self.retry, self.settle].into_iter().flatten().fold(self.round, Instant::min)
    }

    pub(super) fn is_round(&self, now: Instant) -> bool {
        now >= self.round
    }

    pub(super) fn is_retry(&self, now: Instant) -> bool {
        self.retry.is_some_and(|retry| now >= retry)
    }

    pub(super) fn retried(&mut self) {
        self.retry = None;
        self.delay = (2 * self.delay).min(ROUND);
    }

    /// All was looked through. Where that takes long, it is not done all the time.
    pub(super) fn went_round(&mut self, now: Instant, took: Duration) {
        self.round = now + ROUND.max(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_of_changes_does_not_put_off_the_round() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        for second in 1..60 {
            let now = start + Duration::from_secs(second);
            schedule.plan(now, true, false);
            assert!(!schedule.is_round(now) && schedule.next() <= now + SETTLED);
        }
        let now = start + ROUND;
        assert!(schedule.is_round(now));
        schedule.went_round(now, Duration::from_secs(90));
        schedule.plan(now, false, false);
        assert_eq!(schedule.next(), now + Duration::from_secs(90));
    }

    #[test]
    fn what_fails_is_tried_again_less_and_less_often() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        let mut now = start;
        let mut delays = Vec::new();
        for _ in 0..6 {
            schedule.plan(now, false, true);
            // What is told meanwhile changes nothing.
            schedule.plan(now + Duration::from_secs(1), false, true);
            let retry = schedule.retry.unwrap();
            assert!(!schedule.is_retry(now) && schedule.is_retry(retry));
            delays.push((retry - now).as_secs());
            now = retry;
            schedule.retried();
        }
        assert_eq!(delays, [5, 10, 20, 40, 60, 60]);
        schedule.plan(now, false, false);
        schedule.plan(now, false, true);
        assert_eq!(schedule.retry, Some(now + RETRY));
    }
}

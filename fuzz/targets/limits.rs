//! What one input may cost.

use std::alloc::System;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cap::Cap;
use girih_model::{Error, ErrorKind};

/// How long a target runs as a test; `BOLERO_RANDOM_TEST_TIME_MS` changes it.
pub(crate) const SHORT: Duration = Duration::from_secs(2);

/// Without optimizations, on a busy machine: far more than any input takes, far less than for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// An allocation beyond the limit ends the process, as it would on a machine that has no more.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 4 << 30);

/// One input at a time, so that it is known whose memory it is, also where targets share a process.
static TURN: Mutex<()> = Mutex::new(());

/// Runs one input.
///
/// # Panics
/// When it took too long, or more than `bytes` of memory at once.
pub(crate) fn limited<T>(bytes: usize, input: impl FnOnce() -> T) -> T {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (start, held, highest) = (Instant::now(), ALLOCATOR.allocated(), ALLOCATOR.max_allocated());
    let result = input();
    let (took, risen) = (start.elapsed(), ALLOCATOR.max_allocated());
    assert!(took < LONGEST, "took {took:?}");
    assert!(risen == highest || risen.saturating_sub(held) < bytes, "took {} bytes", risen.saturating_sub(held));
    result
}

/// Nobody but the caller is to blame for a bad input.
pub(crate) fn blames_the_caller(error: &Error) {
    let ours = [ErrorKind::Internal, ErrorKind::StorageFull, ErrorKind::Busy];
    assert!(!ours.contains(&error.kind()), "{:?}: {error} {error:?}", error.kind());
    assert!(!error.message().is_empty());
}

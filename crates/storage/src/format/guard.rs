//! Decoders of others, on bytes of strangers: they have asserts and index slices where a lie should be an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What the decoder gives; `None` when it panicked. What it had in its hands is not to be used again then. Such a panic is
/// an answer and no fault of ours: it is not reported.
pub(super) fn guarded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                report(panic);
            }
        }));
    });
    let outer = IS_GUARDED.replace(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode)).ok();
    IS_GUARDED.set(outer);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_nothing() {
        assert_eq!(guarded(|| 1), Some(1));
        assert_eq!(guarded(|| [1][std::hint::black_box(1)]), None);
        // One within another, and none after it.
        assert_eq!(guarded(|| guarded(|| [1][std::hint::black_box(1)]).is_none() && IS_GUARDED.get()), Some(true));
        assert!(!IS_GUARDED.get());
    }
}

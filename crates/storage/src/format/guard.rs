//! Decoders of others, on bytes of strangers: they have asserts and index slices where a lie should be an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the decoder gives; `None` when it panicked. What it had in its hands is not to be used again then.
pub(super) fn guarded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decode)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_nothing() {
        assert_eq!(guarded(|| 1), Some(1));
        assert_eq!(guarded(|| [1][std::hint::black_box(1)]), None);
    }
}

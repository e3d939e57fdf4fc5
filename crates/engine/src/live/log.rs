//! Where updates are kept.

use async_trait::async_trait;
use girih_database::{NewUpdate, Update};
use girih_model::{NodeId, Result};

/// Gives updates their numbers and keeps them for a while. The numbers of a node ascend and none comes twice, whatever
/// happens to the process or the machine.
#[async_trait]
pub(crate) trait Log: Send + Sync {
    /// Keeps updates, in order. One with a key that is known is not kept again and has the number that it had.
    async fn add(&self, new: Vec<NewUpdate>) -> Result<Vec<Update>>;

    /// What is kept of a node from a number on, in order; not much more than so many bytes.
    async fn read(&self, node: NodeId, from: u64, bytes: usize) -> Result<Vec<Update>>;

    /// The first number that is kept and the last one that was given; 0 for none.
    async fn range(&self, node: NodeId) -> Result<(u64, u64)>;

    /// Takes away what is kept for too long; called now and then.
    async fn tend(&self) -> Result<()>;

    async fn close(&self);
}

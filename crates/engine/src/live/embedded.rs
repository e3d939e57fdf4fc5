//! Beside the catalog: nothing to install.

use async_trait::async_trait;
use girih_database::{NewUpdate, Update, Updates};
use girih_model::{NodeId, Result};

use super::Log;

#[async_trait]
impl Log for Updates {
    async fn add(&self, new: Vec<NewUpdate>) -> Result<Vec<Update>> {
        Updates::add(self, new).await
    }

    async fn read(&self, node: NodeId, from: u64, bytes: usize) -> Result<Vec<Update>> {
        Updates::read(self, node, from, bytes).await
    }

    async fn range(&self, node: NodeId) -> Result<(u64, u64)> {
        Updates::range(self, node).await
    }

    async fn tend(&self) -> Result<()> {
        self.trim().await
    }

    async fn close(&self) {
        Updates::close(self).await;
    }
}

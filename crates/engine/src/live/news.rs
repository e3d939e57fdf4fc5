//! News of the catalog on their way to those who watch.

use std::sync::{Arc, Weak};
use std::time::Duration;

use girih_database::{NewUpdate, News};
use girih_model::Result;

use crate::Catalog;

/// News that are told together.
const BATCH: u32 = 1000;
/// How often what was told is struck out, and what is too old taken away.
const TEND: Duration = Duration::from_secs(5);

impl Catalog {
    /// Tells all news up to this number, in the order of the changes. What cannot be told now is told later: the change
    /// is done, and its news are recorded.
    pub(crate) async fn tell(&self, until: i64) {
        let mut told = self.told.lock().await;
        while *told < until {
            let some = self.tell_some(*told).await;
            match some {
                Ok(Some(last)) => *told = last,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "could not tell those who watch; trying again");
                    return;
                }
            }
        }
    }

    /// Tells the next news; returns the number of the last.
    async fn tell_some(&self, after: i64) -> Result<Option<i64>> {
        let news = self.database.news(after, BATCH).await?;
        let Some(last) = news.last().map(|news| news.id) else { return Ok(None) };
        self.live.tell(news.into_iter().map(update).collect()).await?;
        Ok(Some(last))
    }

    /// Tells those who watch what is not there any more.
    pub(crate) async fn end_streams(&self) {
        match self.database.gone(self.live.watched()).await {
            Ok(gone) => gone.into_iter().for_each(|node| self.live.end(node)),
            Err(error) => tracing::warn!(%error, "those who watch were not told that entries are gone"),
        }
    }

    async fn tend(&self) -> Result<()> {
        self.tell(i64::MAX).await;
        self.strike().await?;
        self.live.tend().await
    }

    async fn strike(&self) -> Result<()> {
        let told = *self.told.lock().await;
        if self.database.news(0, 1).await?.first().is_some_and(|first| first.id <= told) {
            self.database.strike_news(told).await?;
        }
        Ok(())
    }

    /// Finishes what is running and closes the files.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.strike().await {
            tracing::debug!(%error, "what was told will be looked at again");
        }
        self.live.close().await;
        self.database.close().await;
    }
}

/// With a key: if the process ends before the news are struck out, they are not told twice.
fn update(news: News) -> NewUpdate {
    let mut key = *b"news\0\0\0\0\0\0\0\0\0\0\0\0";
    key[8..].copy_from_slice(&news.id.to_be_bytes());
    NewUpdate { node: news.node, event: news.event, payload: Default::default(), key: Some(key) }
}

/// Looks after a catalog for as long as there is one.
pub(crate) async fn tend(catalog: Weak<Catalog>) {
    loop {
        tokio::time::sleep(TEND).await;
        let Some(catalog): Option<Arc<Catalog>> = catalog.upgrade() else { return };
        if let Err(error) = catalog.tend().await {
            tracing::warn!(%error, "could not look after the updates that are kept");
        }
    }
}

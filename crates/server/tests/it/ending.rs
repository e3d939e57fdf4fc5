//! How a server ends.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use crate::support::client;

#[tokio::test]
async fn requests_that_have_begun_are_answered_and_idle_connections_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let begun = Arc::new(Notify::new());
    let noted = begun.clone();
    let router = Router::new().route(
        "/",
        get(move || async move {
            noted.notify_one();
            sleep(Duration::from_millis(200)).await;
            "done"
        }),
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(girih_server::serve(listener, router, async move { drop(stopped.await) }));
    let idle = TcpStream::connect(address).await.unwrap();
    let request = tokio::spawn(client().get(format!("http://{address}/")).send());
    begun.notified().await;
    stop.send(()).unwrap();
    let reply = request.await.unwrap().unwrap();
    assert_eq!(reply.text().await.unwrap(), "done");
    timeout(Duration::from_secs(5), serving).await.expect("the server ends").unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    drop(idle);
}

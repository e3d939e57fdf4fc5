//! One connection: a request, its whole answer, the next request.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::script::{Script, Step, fill};

pub(crate) struct Connection {
    address: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// What came back.
pub(crate) struct Answer {
    pub status: StatusCode,
    /// Of the body.
    pub bytes: u64,
    /// Whether a refusal says when to come back.
    pub retry_after: bool,
}

impl Connection {
    pub(crate) fn to(address: &str) -> Self {
        Self { address: address.to_owned(), sender: None }
    }

    pub(crate) async fn ask(
        &mut self,
        script: &Script,
        step: &Step,
        run: u64,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let body = step.text.as_ref().map_or_else(|| step.bytes.clone(), |text| fill(text, run).into());
        let path: Uri = fill(&step.path, run).parse()?;
        let mut request = Request::builder().method(step.method.as_str()).uri(path).header("host", &self.address);
        for (name, value) in script.headers.iter().chain(&step.headers) {
            request = request.header(name, fill(value, run));
        }
        let answer = self.exchange(request.body(Full::new(body))?).await;
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let mut response = self.ready().await?.send_request(request).await?;
        let mut bytes = 0;
        while let Some(frame) = response.frame().await {
            bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        let retry_after = response.headers().contains_key("retry-after");
        Ok(Answer { status: response.status(), bytes, retry_after })
    }

    async fn ready(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let (sender, driver) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(driver);
            self.sender = Some(sender);
        }
        self.sender.as_mut().ok_or_else(|| "no connection".into())
    }
}

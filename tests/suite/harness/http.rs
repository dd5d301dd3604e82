use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{Endpoint, Stream};

/// An HTTP answer, read whole.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    /// Reads the status line and headers; the body is still to come.
    pub fn from_head(head: &str) -> Self {
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("no HTTP status line: {status_line:?}"));
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: String::new() }
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The length that the head announces.
    pub fn content_length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the body of {self:?}"))
    }

    /// Asserts the error form of the contract, `{"error": {"code", "message"}}`.
    pub fn assert_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert_eq!(body["error"]["code"], code, "{self:?}");
        assert!(body["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{self:?}");
    }

    /// Asserts a `Retry-After` of whole seconds.
    pub fn assert_retry_after(&self) {
        let seconds = self.header("retry-after").and_then(|value| value.parse::<u64>().ok());
        assert!(seconds.is_some(), "no Retry-After in {self:?}");
    }
}

/// Reads from `stream` until the blank line after the headers; gives the head
/// and what came behind it.
pub async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes[..end]).into_owned(), rest));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads the body that belongs to `response`, of which `bytes` have come.
pub async fn read_body(stream: &mut Stream, response: &mut Response, mut bytes: Vec<u8>) {
    let length = response.content_length().unwrap_or(usize::MAX);
    while bytes.len() < length && stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    response.body = String::from_utf8_lossy(&bytes).into_owned();
}

/// One request on a connection of its own.
pub async fn exchange(
    server: &Endpoint,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Response> {
    let port = server.port;
    let mut stream = server.way.dial(port).await?;
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (head, rest) = read_head(&mut stream).await?;
    let mut response = Response::from_head(&head);
    read_body(&mut stream, &mut response, rest).await;
    Ok(response)
}

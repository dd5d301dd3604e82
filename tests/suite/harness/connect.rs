use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpSocket};

use super::{
    Client, Endpoint, Response, Stream, Way, Wire,
    http::{read_body, read_head},
    patiently,
};

/// The key of RFC 6455's own example, and the answer it asks for.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An upgrade request in the making.
#[derive(Clone)]
pub struct Connect {
    server: Endpoint,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    receive_buffer: Option<u32>,
    source: [u8; 4],
}

impl Connect {
    pub fn new(server: Endpoint, path: &str) -> Self {
        Self {
            server,
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            receive_buffer: None,
            source: [127, 0, 0, 1],
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// One `Sec-WebSocket-Protocol` header line.
    pub fn protocols(self, offer: impl Into<String>) -> Self {
        self.header("sec-websocket-protocol", offer)
    }

    /// One parameter of the query, percent-encoded here.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.query.is_empty() { '?' } else { '&' };
        self.query.push_str(&format!("{separator}{name}="));
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.query.push(char::from(byte));
            } else {
                self.query.push_str(&format!("%{byte:02X}"));
            }
        }
        self
    }

    /// A small receive buffer, so that a reader that stops is felt soon.
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// From another address of this machine: all of 127.0.0.0/8 are.
    pub fn source(mut self, address: [u8; 4]) -> Self {
        self.source = address;
        self
    }

    async fn dial(&self) -> std::io::Result<Stream> {
        if matches!(self.server.way, Way::Unix(_)) {
            return self.server.way.dial(self.server.port).await;
        }
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind((self.source, 0).into())?;
        let stream = socket.connect(([127, 0, 0, 1], self.server.port).into()).await?;
        stream.set_nodelay(true)?;
        self.server.way.over(stream).await
    }

    /// Sends the request with these header lines besides; gives the connection
    /// and what came behind the head, or an answer of another status.
    pub async fn ask(
        &self,
        lines: &str,
        status: u16,
    ) -> std::io::Result<Result<(Stream, Response, Vec<u8>), Response>> {
        let mut stream = self.dial().await?;
        let (path, query, port) = (&self.path, &self.query, self.server.port);
        let mut request =
            format!("GET {path}{query} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{lines}");
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let (head, rest) = read_head(&mut stream).await?;
        let mut response = Response::from_head(&head);
        if response.status != status {
            read_body(&mut stream, &mut response, rest).await;
            return Ok(Err(response));
        }
        Ok(Ok((stream, response, rest)))
    }

    /// Sends the request; gives the connection, or the refusal, or the error of
    /// a connection that was not even taken.
    pub async fn attempt(self) -> std::io::Result<Result<Wire, Response>> {
        patiently("the answer to an upgrade", async {
            let upgrade = format!(
                "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: {KEY}\r\n"
            );
            let (stream, response, rest) = match self.ask(&upgrade, 101).await? {
                Ok(opened) => opened,
                Err(refused) => return Ok(Err(refused)),
            };
            assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
            Ok(Ok(Wire::new(stream, response, &rest)))
        })
        .await
    }

    /// The upgraded connection.
    pub async fn wire(self) -> Wire {
        match self.attempt().await.expect("the server takes connections") {
            Ok(wire) => wire,
            Err(response) => panic!("the upgrade was refused: {response:?}"),
        }
    }

    /// The refusal.
    pub async fn refused(self) -> Response {
        match self.attempt().await.expect("the server takes connections") {
            Ok(_) => panic!("the upgrade was not refused"),
            Err(response) => response,
        }
    }

    /// A client that has read its `welcome`, the first message of all.
    pub async fn client(self) -> Client {
        let mut client = Client::new(self.wire().await);
        let welcome: Value = client.next().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        client.welcome = welcome;
        client
    }
}

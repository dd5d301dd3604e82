use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Client, Connect, Listener, Response, Way, eventually, http::exchange, patiently};

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_millis() as u64
}

/// Seconds since the Unix epoch, as in the claims of a token.
pub fn now_s() -> u64 {
    now_ms() / 1000
}

/// What every server of the tests signs its tokens with.
pub const SECRET: &str = "a secret of the tests, long enough for any HMAC algorithm there is";

/// A server as its clients know it.
#[derive(Clone, Copy)]
pub struct Endpoint {
    pub port: u16,
    pub way: Way,
}

impl Endpoint {
    /// A token for `sub` that ends in an hour.
    pub fn token(&self, sub: &str) -> String {
        self.token_with(sub, json!({}))
    }

    /// The same with more claims, or others; null takes a claim out.
    pub fn token_with(&self, sub: &str, extra: Value) -> String {
        sign_with_secret(&claims(sub, extra))
    }

    /// An upgrade request to `/ws` that has no token yet.
    pub fn upgrade(&self) -> Connect {
        Connect::new(*self, "/ws")
    }

    /// An upgrade request for `sub`.
    pub fn connect(&self, sub: &str) -> Connect {
        self.upgrade().bearer(&self.token(sub))
    }

    /// The token is refused, as one that was revoked.
    pub async fn assert_revoked(&self, token: &str) {
        let response = self.upgrade().bearer(token).refused().await;
        response.assert_error(401, "unauthorized");
        assert!(response.body.contains("revoked"), "{response:?}");
    }

    /// A request to `/events` that has no token yet.
    pub fn events(&self) -> Connect {
        Connect::new(*self, "/events")
    }

    /// A stream of events for `sub` that was welcomed, in these rooms.
    pub async fn listener(&self, sub: &str, rooms: &[&str]) -> Listener {
        let connect = self.events().bearer(&self.token(sub));
        let connect = rooms.iter().fold(connect, |connect, room| connect.query("room", room));
        Listener::open(connect).await
    }

    /// Says something to a session that listens, by its user's token.
    pub async fn say(&self, sub: &str, session: &str, message: &Value) -> Response {
        let bearer = [("authorization", format!("Bearer {}", self.token(sub)))];
        self.post_with(&format!("/api/v1/client/{session}"), &bearer, message).await
    }

    /// Asks, as a browser does, whether a page of this origin may ask.
    pub async fn options(&self, path: &str, origin: &str) -> Response {
        let headers = [("origin", origin)];
        patiently("an HTTP answer", exchange(self, "OPTIONS", path, &headers, ""))
            .await
            .expect("the server answers")
    }

    /// A body that is sent as it is, whatever it is.
    pub async fn post_torn(&self, path: &str, authorization: &str, body: &str) -> Response {
        let headers = [("authorization", authorization)];
        patiently("an HTTP answer", exchange(self, "POST", path, &headers, body))
            .await
            .expect("the server answers")
    }

    /// A connected client for `sub`.
    pub async fn client(&self, sub: &str) -> Client {
        self.connect(sub).client().await
    }

    /// A connected client for `sub` with these claims besides.
    pub async fn client_with(&self, sub: &str, extra: Value) -> Client {
        self.upgrade().bearer(&self.token_with(sub, extra)).client().await
    }

    /// A connected client that has joined `room`.
    pub async fn member(&self, sub: &str, room: &str) -> Client {
        let mut client = self.client(sub).await;
        client.join(room).await;
        client
    }

    pub async fn try_get(&self, path: &str) -> std::io::Result<Response> {
        patiently("an HTTP answer", exchange(self, "GET", path, &[], "")).await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.try_get(path).await.expect("the server answers")
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, head: &[(&str, String)], body: &Value) -> Response {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(head.iter().map(|(name, value)| (*name, value.as_str())));
        patiently("an HTTP answer", exchange(self, "POST", path, &headers, &body.to_string()))
            .await
            .expect("the server answers")
    }

    /// A request with these headers and no others.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        head: &[(&str, String)],
        body: &str,
    ) -> Response {
        let headers: Vec<_> = head.iter().map(|(name, value)| (*name, value.as_str())).collect();
        patiently("an HTTP answer", exchange(self, method, path, &headers, body))
            .await
            .expect("the server answers")
    }

    /// A call of a backend with this key; an empty body is none.
    pub async fn backend(&self, key: &str, method: &str, path: &str, body: &str) -> Response {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str())];
        patiently("an HTTP answer", exchange(self, method, path, &headers, body))
            .await
            .expect("the server answers")
    }

    /// A POST of a backend that has to be done, and its answer; null is no body.
    pub async fn done(&self, key: &str, path: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.backend(key, "POST", path, &body).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// The connections that `/healthz` counts.
    pub async fn connections(&self) -> u64 {
        let health = self.get("/healthz").await.json();
        health["connections"].as_u64().unwrap_or_else(|| panic!("no connections in {health}"))
    }

    /// Waits until `/healthz` counts `wanted` connections.
    pub async fn until_connections(&self, wanted: u64) {
        eventually(&format!("{wanted} connections"), async || {
            (self.connections().await == wanted).then_some(())
        })
        .await;
    }
}

/// The claims of a token for `sub` that ends in an hour, changed by `extra`.
pub fn claims(sub: &str, extra: Value) -> Value {
    let mut claims = json!({"sub": sub, "iat": now_s(), "exp": now_s() + 3600});
    for (name, value) in extra.as_object().expect("the extra claims are an object") {
        if value.is_null() {
            claims.as_object_mut().expect("claims are an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// Signs `claims` as the servers of the tests expect it.
pub fn sign_with_secret(claims: &Value) -> String {
    sign(claims, Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes()), None)
}

/// Signs `claims` with any key.
pub fn sign(claims: &Value, algorithm: Algorithm, key: &EncodingKey, kid: Option<&str>) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).expect("the claims can be signed")
}

//! Signed POSTs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Client, Response, Url, header, redirect};

use super::signature::{HEADER, Signer};
use crate::{
    config::Secret,
    model::{CALL_ID, CallId},
};

/// How long a connection to a backend may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a connection is kept for the next call.
const IDLE: Duration = Duration::from_secs(30);

/// Makes calls to one address.
pub struct Caller {
    client: Client,
    url: Url,
    signer: Signer,
}

impl Caller {
    /// Calls `url`, each call signed with all keys and given up after `timeout`.
    ///
    /// # Errors
    /// What the system lacks for TLS, in words for people.
    pub fn new(url: &Url, keys: &[Secret], timeout: Duration) -> Result<Self, String> {
        let client = Client::builder()
            .connect_timeout(CONNECT.min(timeout))
            .timeout(timeout)
            .pool_idle_timeout(IDLE)
            // The signed call is for this address and for no other.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("rookery/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, url: url.clone(), signer: Signer::new(keys) })
    }

    /// Posts JSON, for the sake of a request where there is one.
    ///
    /// # Errors
    /// Why there is no answer, without the address.
    pub async fn post(
        &self,
        body: Vec<u8>,
        call: Option<&CallId>,
    ) -> Result<Response, reqwest::Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
        let signature = self.signer.sign(now, &body);
        let mut request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(HEADER, signature)
            .body(body);
        if let Some(call) = call {
            request = request.header(CALL_ID, call.as_str());
        }
        request.send().await.map_err(reqwest::Error::without_url)
    }

    /// The host that is called, for logs: the rest of the address may be secret.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

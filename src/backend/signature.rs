//! By what a backend knows that a call is ours, and was made just now.

use aws_lc_rs::hmac;

use crate::config::Secret;

/// The header that carries the signature.
pub const HEADER: &str = "rookery-signature";

/// Signs calls: `t=SECONDS,v1=HEX`, with a `v1` for each key. `HEX` is the
/// HMAC-SHA256 of the time as it is written, a dot and the body.
pub struct Signer(Vec<hmac::Key>);

impl Signer {
    /// Signs with each of these.
    pub fn new(keys: &[Secret]) -> Self {
        let key = |key: &Secret| hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
        Self(keys.iter().map(key).collect())
    }

    /// The header's value for a body that is sent at this time, in seconds.
    pub fn sign(&self, seconds: u64, body: &[u8]) -> String {
        let time = seconds.to_string();
        let mut value = format!("t={time}");
        for key in &self.0 {
            let mut context = hmac::Context::with_key(key);
            context.update(time.as_bytes());
            context.update(b".");
            context.update(body);
            value.push_str(",v1=");
            for byte in context.sign().as_ref() {
                value.push_str(&format!("{byte:02x}"));
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_the_documents_compute() {
        let signer = Signer::new(&[Secret::new("a key of the tests")]);
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'a key of the tests'
        let expected = "t=1700000000,\
             v1=d0f6a3a192fd01b8c076e6956d6da42f8a8f26cc8d43e7feb027993d35586b1a";
        assert_eq!(signer.sign(1_700_000_000, br#"{"a":1}"#), expected);
    }

    #[test]
    fn each_key_signs() {
        let keys = ["the old one", "the new one"].map(Secret::new);
        let both = Signer::new(&keys).sign(7, b"x");
        let alone = keys.map(|key| Signer::new(&[key]).sign(7, b"x"));
        let alone = alone.map(|it| it.split_once(',').unwrap().1.to_owned());
        assert_eq!(both, format!("t=7,{},{}", alone[0], alone[1]));
    }
}

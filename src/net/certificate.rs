use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use log::{info, warn};
use rustls::{
    Error, InconsistentKeys,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use simple_asn1::ASN1Block;

use crate::config::{ConfigError, Tls};

/// A certificate that ends sooner than this is warned of.
const SOON: u64 = 14;

const DAY: u64 = 24 * 3600;

/// What a PEM file with a key under a passphrase has in it.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// The node's certificate: that of the newest handshake, while its files change.
#[derive(Debug)]
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    /// When it ends, in seconds since the Unix epoch.
    expiry: AtomicI64,
}

impl Certificate {
    /// Reads the certificate and its key, where the settings name them.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be used.
    pub fn load(settings: &Tls) -> Result<Option<Self>, ConfigError> {
        let Some((cert, key)) = settings.files() else { return Ok(None) };
        let (current, expiry) = read(cert, key)?;
        Ok(Some(Self {
            cert: cert.clone(),
            key: key.clone(),
            current: RwLock::new(Arc::new(current)),
            expiry: expiry.into(),
        }))
    }

    /// Reads the files again: handshakes from now on get what is in them.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be used; all stays as it is.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let (current, expiry) = read(&self.cert, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
        self.expiry.store(expiry, Ordering::Relaxed);
        Ok(())
    }

    /// When it ends, in seconds since the Unix epoch.
    pub fn expiry(&self) -> i64 {
        self.expiry.load(Ordering::Relaxed)
    }

    /// Writes to the log for how long it holds.
    pub fn tell(&self) {
        let ends = u64::try_from(self.expiry()).unwrap_or_default();
        let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(ends);
        let cert = self.cert.display();
        let date = humantime::format_rfc3339_seconds(ends);
        match ends.duration_since(SystemTime::now()).map(|left| left.as_secs() / DAY) {
            Ok(days) if days >= SOON => info!("{cert}: the certificate holds for {days} days"),
            Ok(days) => warn!("{cert}: the certificate holds for {days} days, until {date}"),
            Err(_) => warn!("{cert}: the certificate is over since {date}"),
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Certificate and key, and when the certificate ends.
fn read(cert: &Path, key: &Path) -> Result<(CertifiedKey, i64), ConfigError> {
    let unfit = |expected: &str| ConfigError::value("tls.cert", format!("{cert:?}"), expected);
    let bytes = fs::read(cert).map_err(|error| unfit(&format!("a readable file ({error})")))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| unfit("certificates in PEM, the node's own first"))?;
    let own = chain.first().and_then(|own| expiry(own));
    let expiry = own.ok_or_else(|| unfit("an X.509 certificate with the time that it holds"))?;

    let unfit = |expected: &str| ConfigError::value("tls.key", format!("{key:?}"), expected);
    let bytes = fs::read(key).map_err(|error| unfit(&format!("a readable file ({error})")))?;
    let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        match bytes.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
            true => unfit("a private key without a passphrase"),
            false => unfit("a private key in PEM"),
        }
    })?;
    let certified = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider());
    let certified = certified.map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            unfit(&format!("the key of the certificate in {cert:?}"))
        }
        Error::InvalidCertificate(_) => {
            ConfigError::value("tls.cert", format!("{cert:?}"), "an X.509 certificate, version 3")
        }
        _ => unfit("an RSA key of 2048 bits or more, or an ECDSA (P-256, P-384) or Ed25519 key"),
    })?;
    Ok((certified, expiry))
}

/// The end of a certificate's validity: the second of the first two times that
/// stand together.
fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let blocks = simple_asn1::from_der(certificate).ok()?;
    let [ASN1Block::Sequence(_, signed)] = blocks.as_slice() else { return None };
    let Some(ASN1Block::Sequence(_, fields)) = signed.first() else { return None };
    fields.iter().find_map(|field| match field {
        ASN1Block::Sequence(_, times) => match times.as_slice() {
            [
                ASN1Block::UTCTime(..) | ASN1Block::GeneralizedTime(..),
                ASN1Block::UTCTime(_, end) | ASN1Block::GeneralizedTime(_, end),
            ] => Some(end.assume_utc().unix_timestamp()),
            _ => None,
        },
        _ => None,
    })
}

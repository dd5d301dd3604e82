use std::{fmt, path::PathBuf};

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::{Secret, read};

/// `[broker]`: what joins the nodes of a cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// Where Redis is; none for the broker built in.
    #[serde(deserialize_with = "read::redis")]
    pub url: Option<RedisAddress>,
    /// What the names of all keys and channels in Redis begin with.
    #[serde(deserialize_with = "read::prefix")]
    pub prefix: String,
    /// On how many replicas a write has to be before it is acknowledged, as far
    /// as the master has so many.
    #[serde(deserialize_with = "read::count")]
    pub replicas: usize,
    /// Whose certificates are trusted, in PEM; none for those the system trusts.
    #[serde(deserialize_with = "read::path")]
    pub ca_file: Option<PathBuf>,
    /// About how many bytes the broker built in may hold; past that it takes no
    /// more writes and no more rooms until older ones are over their time.
    #[serde(deserialize_with = "read::memory")]
    pub memory: usize,
    /// In which directory the broker built in keeps what it holds; none to keep it
    /// for as long as the process lives.
    #[serde(deserialize_with = "read::path")]
    pub path: Option<PathBuf>,
}

/// Where Redis is and how to get in.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// Which servers, and what they are to each other.
    pub topology: Topology,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The ACL user.
    pub username: Option<String>,
    /// Its password, or the server's.
    pub password: Option<Secret>,
    /// The number of the database.
    pub database: u16,
    /// The password of the sentinels, where they have one.
    pub sentinel_password: Option<Secret>,
}

/// How the servers of an address belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Single(HostPort),
    /// Sentinels that know who is the master of this name.
    Sentinel {
        /// The sentinels.
        sentinels: Vec<HostPort>,
        /// The name.
        master: String,
    },
    /// Some of the nodes of a Redis Cluster.
    Cluster(Vec<HostPort>),
}

/// A server's name or address, and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The name or the address, that of IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl RedisAddress {
    /// What [`parse`](Self::parse) reads, for people.
    pub(super) const FORMS: &str = "nothing, redis://[user:password@]host[:port][/database], the \
         same with rediss:// for TLS, redis+sentinel://host:port,host:port/master, or \
         redis+cluster://host:port,host:port";

    /// Reads one of [`FORMS`](Self::FORMS); `rediss+sentinel://` and
    /// `rediss+cluster://` speak TLS. User and password may be percent-encoded.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (tls, kind) = match scheme.split_once('+').unwrap_or((scheme, "")) {
            ("redis", kind) => (false, kind),
            ("rediss", kind) => (true, kind),
            _ => return None,
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (credentials, place),
            None => ("", rest),
        };
        let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
        let default_port = if kind == "sentinel" { 26379 } else { 6379 };
        let mut servers = hosts
            .split(',')
            .map(|it| HostPort::parse(it, default_port))
            .collect::<Option<Vec<_>>>()?;
        let mut sentinel_password = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "sentinel_password" if kind == "sentinel" => {
                    sentinel_password = Some(Secret::new(value));
                }
                _ => return None,
            }
        }
        let mut database = 0;
        let topology = match kind {
            "" if servers.len() == 1 => {
                database = if path.is_empty() { 0 } else { path.parse().ok()? };
                Topology::Single(servers.pop()?)
            }
            "sentinel" if !path.is_empty() => {
                Topology::Sentinel { sentinels: servers, master: decoded(path)? }
            }
            "cluster" if path.is_empty() => Topology::Cluster(servers),
            _ => return None,
        };
        let (username, password) = (decoded(username)?, decoded(password)?);
        Some(Self {
            topology,
            tls,
            username: (!username.is_empty()).then_some(username),
            password: (!password.is_empty()).then(|| Secret::new(password)),
            database,
            sentinel_password,
        })
    }
}

fn decoded(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

impl HostPort {
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None => default_port,
        };
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The servers, without what lets one in.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |servers: &[HostPort]| {
            servers.iter().map(HostPort::to_string).collect::<Vec<_>>().join(",")
        };
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.topology {
            Topology::Single(server) => write!(f, "{scheme}://{server}"),
            Topology::Sentinel { sentinels, master } => {
                write!(f, "{scheme}+sentinel://{}/{master}", list(sentinels))
            }
            Topology::Cluster(servers) => write!(f, "{scheme}+cluster://{}", list(servers)),
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

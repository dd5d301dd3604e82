//! Which servers there are, and how connections to them are made.

use std::{collections::HashMap, fs, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, RedisResult,
    TlsCertificates, TlsMode, Value,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_routing::{RoutingInfo, SingleNodeRoutingInfo, Slot},
    cmd, from_redis_value,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::Mutex;

use crate::config::{self, HostPort, RedisAddress, Topology};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);

/// How long an answer may take. Redis runs one command after the other, so this
/// is more than one alone ever takes.
const ANSWER: Duration = Duration::from_secs(2);

/// How many commands may wait to be written.
const PIPELINE: usize = 4096;

/// How often a command that met a cluster in motion is tried again.
const CLUSTER_RETRIES: u32 = 8;

/// The least and the most time between such tries, in milliseconds.
const CLUSTER_WAIT: (u64, u64) = (20, 250);

/// How many slots a cluster has.
const SLOTS: u16 = 16384;

/// The servers of an address.
pub(super) struct Servers {
    address: RedisAddress,
    certificates: Option<TlsCertificates>,
    sentinel: Option<Mutex<SentinelClient>>,
}

/// A connection for commands; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server.
    Single(MultiplexedConnection),
    /// To all servers of a cluster.
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }

    /// Asks one of the masters; one that is alone is the one this leads to.
    pub(super) async fn query_at<T: FromRedisValue>(
        &mut self,
        master: &Master,
        command: &Cmd,
    ) -> RedisResult<T> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => {
                let answer = connection.route_command(command.clone(), master.routing()).await?;
                Ok(from_redis_value(answer)?)
            }
        }
    }
}

/// A master, as the one that hands on what is published on its channels.
#[derive(Clone)]
pub(super) struct Master {
    client: Client,
}

/// Which master has which slot; one that is alone has all.
pub(super) struct Masters {
    pub(super) masters: Vec<Master>,
    by_slot: Option<HashMap<Slot, usize>>,
}

impl Masters {
    /// Whether there may be several, with channels that belong to slots.
    pub(super) fn is_cluster(&self) -> bool {
        self.by_slot.is_some()
    }

    /// The number of the master that has a key or a channel.
    pub(super) fn of(&self, name: &str) -> Option<usize> {
        match &self.by_slot {
            None => Some(0),
            Some(by_slot) => by_slot.get(&Slot::for_key(name)).copied(),
        }
    }
}

impl Servers {
    /// # Errors
    /// What is wrong with the settings, in words for people.
    pub(super) fn new(address: &RedisAddress, settings: &config::Broker) -> Result<Self, String> {
        let certificates = match &settings.ca_file {
            Some(file) => {
                let root_cert = fs::read(file)
                    .map_err(|error| format!("broker.ca_file: {}: {error}", file.display()))?;
                Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
            }
            None => None,
        };
        let mut servers = Self { address: address.clone(), certificates, sentinel: None };
        if let Topology::Sentinel { sentinels, master } = &address.topology {
            let client = servers.sentinel_client(sentinels, master).map_err(|it| it.to_string())?;
            servers.sentinel = Some(Mutex::new(client));
        }
        Ok(servers)
    }

    /// Whether channels belong to slots, as in a cluster.
    pub(super) fn sharded(&self) -> bool {
        matches!(self.address.topology, Topology::Cluster(_))
    }

    /// Whether another server can become the master.
    pub(super) fn may_move(&self) -> bool {
        self.sentinel.is_some()
    }

    fn access(&self) -> RedisConnectionInfo {
        let mut access = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(i64::from(self.address.database));
        if let Some(username) = &self.address.username {
            access = access.set_username(username);
        }
        if let Some(password) = &self.address.password {
            access = access.set_password(password.expose());
        }
        access
    }

    fn place(&self, server: &HostPort) -> ConnectionAddr {
        let HostPort { host, port } = server.clone();
        if self.address.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    fn info(&self, server: &HostPort) -> RedisResult<ConnectionInfo> {
        Ok(self.place(server).into_connection_info()?.set_redis_settings(self.access()))
    }

    fn client(&self, server: &HostPort) -> RedisResult<Client> {
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(self.info(server)?, certificates.clone()),
            None => Client::open(self.info(server)?),
        }
    }

    fn sentinel_client(&self, sentinels: &[HostPort], name: &str) -> RedisResult<SentinelClient> {
        let places = sentinels.iter().map(|server| self.place(server));
        let mut builder = SentinelClientBuilder::new(places, name, SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if let Some(username) = &self.address.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.address.password {
            builder = builder.set_client_to_redis_password(password.expose());
        }
        if let Some(password) = &self.address.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password.expose());
        }
        if self.address.tls {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = &self.certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        builder.build()
    }

    /// A new connection for commands, and with it, unless this is a cluster, the
    /// master it leads to.
    pub(super) async fn connect(&self) -> RedisResult<(Connection, Option<Master>)> {
        let master = match &self.address.topology {
            Topology::Single(server) => Master { client: self.client(server)? },
            Topology::Sentinel { .. } => self.current_master().await?,
            Topology::Cluster(servers) => {
                let infos =
                    servers.iter().map(|it| self.info(it)).collect::<RedisResult<Vec<_>>>()?;
                let mut builder = ClusterClient::builder(infos)
                    .connection_timeout(CONNECT)
                    .response_timeout(ANSWER)
                    .retries(CLUSTER_RETRIES)
                    .min_retry_wait(CLUSTER_WAIT.0)
                    .max_retry_wait(CLUSTER_WAIT.1);
                if let Some(certificates) = &self.certificates {
                    builder = builder.certs(certificates.clone());
                }
                let connection = builder.build()?.get_async_connection().await?;
                return Ok((Connection::Cluster(connection), None));
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER))
            .set_pipeline_buffer_size(PIPELINE);
        let connection =
            master.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok((Connection::Single(connection), Some(master)))
    }

    /// Whom the sentinels name now.
    pub(super) async fn current_master(&self) -> RedisResult<Master> {
        match &self.sentinel {
            Some(sentinel) => {
                Ok(Master { client: sentinel.lock().await.async_get_client().await? })
            }
            None => Err(RedisError::from((redis::ErrorKind::InvalidClientConfig, "no sentinels"))),
        }
    }

    /// Who hands on what: of a cluster, all its masters.
    pub(super) async fn masters(
        &self,
        connection: &mut Connection,
        alone: Option<&Master>,
    ) -> RedisResult<Masters> {
        if let Some(master) = alone {
            return Ok(Masters { masters: vec![master.clone()], by_slot: None });
        }
        let table: Value = connection.query(cmd("CLUSTER").arg("SLOTS")).await?;
        let ranges: Vec<(u16, u16, Vec<Value>)> = from_ranges(table)?;
        let mut known: Vec<HostPort> = Vec::new();
        let mut by_slot = HashMap::with_capacity(usize::from(SLOTS));
        for (first, last, master) in ranges {
            let mut parts = master.into_iter();
            let (Some(host), Some(port)) = (parts.next(), parts.next()) else { continue };
            let server = HostPort { host: from_redis_value(host)?, port: from_redis_value(port)? };
            let number = known.iter().position(|it| *it == server).unwrap_or_else(|| {
                known.push(server);
                known.len() - 1
            });
            by_slot.extend((first..=last).filter_map(Slot::new).map(|slot| (slot, number)));
        }
        let masters = known
            .iter()
            .map(|server| Ok(Master { client: self.client(server)? }))
            .collect::<RedisResult<Vec<_>>>()?;
        Ok(Masters { masters, by_slot: Some(by_slot) })
    }
}

/// `CLUSTER SLOTS`: ranges, each with its master and its replicas.
fn from_ranges(table: Value) -> RedisResult<Vec<(u16, u16, Vec<Value>)>> {
    let ranges: Vec<Vec<Value>> = from_redis_value(table)?;
    ranges
        .into_iter()
        .map(|range| {
            let mut parts = range.into_iter();
            let mut next = || parts.next().unwrap_or(Value::Nil);
            let (first, last) = (from_redis_value(next())?, from_redis_value(next())?);
            Ok((first, last, from_redis_value(next())?))
        })
        .collect()
}

impl Master {
    /// Whether both lead to the same server.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.client.get_connection_info().addr() == other.client.get_connection_info().addr()
    }

    /// How a command for this master is sent there.
    fn routing(&self) -> RoutingInfo {
        let place = match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port }
            }
            _ => SingleNodeRoutingInfo::Random,
        };
        RoutingInfo::SingleNode(place)
    }

    /// A connection of its own for what is handed on; `heard` is called with each
    /// message, and must not block.
    pub(super) async fn listen(
        &self,
        heard: Arc<dyn Fn(PushInfo) + Send + Sync>,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER))
            .set_pipeline_buffer_size(PIPELINE)
            .set_push_sender(move |push| {
                heard(push);
                Ok::<(), redis::aio::SendError>(())
            });
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use crate::{
    cluster::NodeReport,
    http::{
        failure::Failure,
        schema::{self, Node, Refusals},
    },
    session::Services,
};

/// The nodes there are.
#[derive(Serialize, ToSchema)]
pub(super) struct Nodes {
    /// In the order of their names.
    #[schema(value_type = Vec<Node>)]
    nodes: Vec<NodeReport>,
}

/// List the nodes.
///
/// Each as it said last: within the last seconds, unless it fell silent. One that
/// did is listed until the others have given it up.
#[utoipa::path(
    get, path = "/api/v1/nodes", tag = "cluster", operation_id = "nodes",
    responses((status = 200, description = "The nodes", body = Nodes), Refusals),
)]
pub(super) async fn nodes(call: Call) -> Result<Nodes, Failure> {
    let own = call.services().report().await;
    Ok(Nodes { nodes: all(call.services(), own).await? })
}

async fn all(services: &Services, own: NodeReport) -> Result<Vec<NodeReport>, Failure> {
    let mut nodes = match &services.cluster {
        Some(cluster) => cluster.reports().await?,
        None => Vec::new(),
    };
    nodes.push(own);
    nodes.sort_by(|a, b| (&a.node, a.started_at).cmp(&(&b.node, b.started_at)));
    Ok(nodes)
}

/// Figures of the node that was asked, and of all nodes.
#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    #[schema(value_type = Node)]
    node: NodeReport,
    cluster: Sums,
    broker: Broker,
}

/// Sums over all nodes. A user or a room that several nodes have counts for each.
#[derive(Default, Serialize, ToSchema)]
struct Sums {
    /// How many nodes there are.
    #[schema(schema_with = schema::count)]
    nodes: usize,
    #[schema(schema_with = schema::count)]
    connections: usize,
    #[schema(schema_with = schema::count)]
    users: usize,
    /// Rooms that somebody is in.
    #[schema(schema_with = schema::count)]
    rooms: usize,
    /// Messages and writes that the nodes took since each began.
    #[schema(schema_with = schema::count)]
    messages: u64,
    /// How many of them a second, over the last ten.
    #[schema(schema_with = schema::rate)]
    messages_per_second: f64,
}

/// The broker of the node that was asked.
#[derive(Serialize, ToSchema)]
struct Broker {
    /// `embedded` or `redis`.
    kind: &'static str,
    /// Whether it can be used.
    ok: bool,
}

/// See the figures.
#[utoipa::path(
    get, path = "/api/v1/stats", tag = "cluster", operation_id = "stats",
    responses((status = 200, description = "The figures", body = Stats), Refusals),
)]
pub(super) async fn stats(call: Call) -> Result<Stats, Failure> {
    let services = call.services();
    let node = services.report().await;
    let mut cluster = Sums::default();
    for other in all(services, node.clone()).await? {
        cluster.nodes += 1;
        cluster.connections += other.connections;
        cluster.users += other.users;
        cluster.rooms += other.rooms;
        cluster.messages += other.messages;
        cluster.messages_per_second += other.messages_per_second;
    }
    let health = services.broker.health();
    Ok(Stats { node, cluster, broker: Broker { kind: health.kind, ok: health.ok } })
}

//! What the nodes say of themselves.

use redis::cmd;

use super::{
    node::Node,
    perhaps::{Perhaps, understood},
};
use crate::{broker::Unavailable, cluster::NodeReport, model::LifeId};

/// How long, in milliseconds, a report is kept that no other follows.
const KEPT: u64 = 15_000;

impl Node {
    /// Says how this node is.
    pub(super) async fn report(&self, report: &NodeReport) -> Result<(), Unavailable> {
        let Ok(report) = serde_json::to_string(report) else { return Ok(()) };
        let mut set = cmd("SET");
        set.arg(self.names.report(&self.life())).arg(report).arg("PX").arg(KEPT);
        self.command(&set).await
    }

    /// What the other nodes that beat said last.
    pub(super) async fn reports(&self) -> Result<Vec<NodeReport>, Unavailable> {
        let lives = self.command(cmd("HKEYS").arg(self.names.lives())).await?;
        let lives = understood::<String>(lives).map(|life| LifeId::named(&life));
        let others: Vec<LifeId> = lives.filter(|it| !self.is_own(it)).collect();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let mut read = cmd("MGET");
        for life in &others {
            read.arg(self.names.report(life));
        }
        let reports: Vec<Perhaps<String>> = self.command(&read).await?;
        Ok(understood(reports).filter_map(|report| serde_json::from_str(&report).ok()).collect())
    }
}

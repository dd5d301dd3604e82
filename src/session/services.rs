use std::sync::Arc;

use actix::prelude::*;

use super::registry::Registry;
use crate::{auth::Verifier, broker::Broker, config::Settings, presence::PresenceSupervisor};

/// What all sessions of a node share.
pub struct Services {
    /// How the node is set up.
    pub settings: Settings,
    /// The node's name.
    pub node: Arc<str>,
    /// Who a token stands for.
    pub verifier: Verifier,
    /// Where messages get their place.
    pub broker: Arc<dyn Broker>,
    /// Who is where.
    pub presence: Addr<PresenceSupervisor>,
    /// Which connections there are.
    pub registry: Arc<Registry>,
}

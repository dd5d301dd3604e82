use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Happening, RoomName, SessionId, Subject, Timestamp, Transport, UserId};

/// What nodes say to one another in passing: where it is lost, who wanted to know
/// asks again, or does without.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whisper {
    /// Asks which connections of a user a node has.
    WhoHas {
        /// For the answer.
        ticket: u64,
        /// The user.
        user: UserId,
    },
    /// Answers that.
    Has {
        /// Of the question.
        ticket: u64,
        /// Who answers.
        node: Arc<str>,
        /// The connections.
        connections: Vec<Connection>,
    },
    /// The traces that run on a node: all of them, again and again.
    Wishes {
        /// What that process is called in this.
        origin: u64,
        /// What is to be told it.
        wishes: Vec<Wish>,
    },
    /// What happened on another node than the trace's.
    Happened {
        /// Who wished it.
        origin: u64,
        /// Which of its traces.
        trace: u64,
        /// What happened.
        happenings: Vec<Happening>,
        /// How much more did that is not told.
        dropped: u64,
    },
}

/// One connection of a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connection {
    /// The session id it holds.
    pub session: SessionId,
    /// When it came.
    pub since: Timestamp,
    /// What it goes over.
    pub transport: Transport,
    /// The rooms it is a member of: so many as are shown.
    pub rooms: Vec<RoomName>,
    /// How many they are.
    pub room_count: usize,
}

/// What a trace is to be told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wish {
    /// Which trace of its node.
    pub trace: u64,
    /// Whom or what it follows.
    pub subject: Subject,
    /// Whether it tells what was said.
    pub content: bool,
}

use actix_http::ws::OpCode;
use bytes::Bytes;
use serde::Serialize;

use super::frame;
use crate::model::{Code, Happening, Problem, Subject};

/// What is said to who follows a trace: a protocol of its own, of text frames.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TraceEvent<'a> {
    /// The trace runs.
    Tracing {
        /// The node that has it.
        node: &'a str,
        /// Whom or what it follows.
        #[serde(flatten)]
        subject: &'a Subject,
        /// Whether it tells what was said.
        content: bool,
    },
    /// Something happened.
    Happened(&'a Happening),
    /// So much is left out here.
    Dropped {
        /// How much.
        count: u64,
    },
    /// There is no trace.
    Error {
        /// For programs.
        code: Code,
        /// For people.
        message: &'a str,
    },
}

impl<'a> From<&'a Problem> for TraceEvent<'a> {
    fn from(problem: &'a Problem) -> Self {
        Self::Error { code: problem.code, message: &problem.message }
    }
}

impl TraceEvent<'_> {
    /// As it goes out.
    pub fn encode(&self) -> Bytes {
        // Text that was JSON, numbers and names: all of it can be written.
        let text = serde_json::to_vec(self).unwrap_or_default();
        frame::frame_bytes(OpCode::Text, &text)
    }
}

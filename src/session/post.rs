use actix::prelude::*;
use tokio::sync::oneshot;

use super::actor::{REQUESTS, Session};

/// At most so many messages come in one request.
pub const POSTED: usize = REQUESTS;

/// What a client that only listens says: messages that came in one request of
/// their own.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Post {
    /// The texts of the messages.
    pub messages: Vec<Box<str>>,
    /// Told whether they were taken: all of them, or none.
    pub answer: oneshot::Sender<Result<(), Busy>>,
}

/// As many requests wait as may, or the client has to read its answers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Handler<Post> for Session {
    type Result = ();

    fn handle(&mut self, Post { messages, answer }: Post, ctx: &mut Self::Context) {
        let busy = self.is_busy_for(messages.len());
        if !busy {
            for text in messages {
                self.receive(&text, ctx);
            }
            // What was answered at once waits for no other.
            self.outbound.flush();
        }
        // Who asked may have gone.
        let _ = answer.send(if busy { Err(Busy) } else { Ok(()) });
    }
}

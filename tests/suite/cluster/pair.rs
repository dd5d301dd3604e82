use super::{
    listener::{Heard, Listener},
    traffic::{Traffic, end},
};
use crate::harness::Endpoint;

/// Whom the traffic consists of.
pub const USERS: [&str; 4] = ["ann", "ben", "cat", "dan"];

/// Two writers and two listeners, one of each on each of two nodes.
pub struct Pair {
    room: String,
    writers: [Traffic; 2],
    listeners: [Listener; 2],
}

impl Pair {
    /// Starts them in a room, and waits until both writers are heard.
    pub async fn start(nodes: [&Endpoint; 2], room: &str) -> Self {
        let pair = Self {
            room: room.to_owned(),
            listeners: [
                Listener::start(nodes[0], USERS[2], room).await,
                Listener::start(nodes[1], USERS[3], room).await,
            ],
            writers: [
                Traffic::start(nodes[0], USERS[0], room).await,
                Traffic::start(nodes[1], USERS[1], room).await,
            ],
        };
        pair.goes_on(20).await;
        pair
    }

    /// Waits until each of the writers had so many more acknowledged.
    pub async fn goes_on(&self, more: usize) {
        for writer in &self.writers {
            writer.goes_on(more).await;
        }
    }

    /// Waits until each of the writers was refused so often.
    pub async fn is_refused(&self, more: usize) {
        for writer in &self.writers {
            writer.is_refused(more).await;
        }
    }

    /// Ends the traffic, and gives what was heard of it: all of it.
    pub async fn end(self) -> [Heard; 2] {
        let [first, second] = self.writers;
        let second = second.stop().await;
        let first = end(first.stop().await, &self.room).await;
        let [here, there] = self.listeners;
        let heard = [here.heard().await, there.heard().await];
        for one in &heard {
            one.assert_complete(&[&first, &second]);
        }
        heard
    }
}

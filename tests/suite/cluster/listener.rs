use serde_json::Value;
use std::{collections::HashSet, sync::Arc};
use tokio::{sync::Notify, task::JoinHandle};

use super::traffic::{LAST, Written};
use crate::harness::{Client, Endpoint, went};

/// A member that reads all it is sent, from its join on.
pub struct Listener {
    room: String,
    stop: Arc<Notify>,
    reading: JoinHandle<(Client, Vec<Value>)>,
}

impl Listener {
    pub async fn start(node: &Endpoint, user: &str, room: &str) -> Self {
        let mut client = node.client(user).await;
        let joined = client.join(room).await;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let reading = tokio::spawn(async move {
            let mut heard = vec![joined];
            loop {
                tokio::select! {
                    message = client.next() => heard.push(message),
                    () = stopped.notified() => return (client, heard),
                }
            }
        });
        Self { room: room.to_owned(), stop, reading }
    }

    /// Reads on to the last word of a room's traffic, and what comes beside it.
    pub async fn heard(self) -> Heard {
        self.stop.notify_one();
        let (mut client, mut heard) = self.reading.await.expect("the connection stays open");
        let is_last = |message: &Value| message["content"] == LAST;
        let has_last = |message: &Value| {
            is_last(message)
                || message["messages"].as_array().is_some_and(|page| page.iter().any(is_last))
        };
        while !heard.iter().any(has_last) {
            heard.push(client.next().await);
        }
        heard.extend(client.settle().await);
        heard.retain(|message| message["room"] == self.room);
        Heard { _client: client, messages: heard }
    }
}

/// What a listener was told of its room.
pub struct Heard {
    _client: Client,
    messages: Vec<Value>,
}

impl Heard {
    /// The messages that came after each `joined`, which stands before them.
    fn lives(&self) -> Vec<&[Value]> {
        let starts: Vec<usize> =
            (0..self.messages.len()).filter(|&at| self.messages[at]["type"] == "joined").collect();
        let ends = starts.iter().skip(1).copied().chain([self.messages.len()]);
        starts.iter().zip(ends).map(|(&start, end)| &self.messages[start..end]).collect()
    }

    /// How often it was told that the log begins a new life, each time under
    /// another epoch.
    pub fn new_epochs(&self) -> usize {
        let lives = self.lives();
        for joined in lives.iter().skip(1).map(|life| &life[0]) {
            assert_eq!(joined["recovered"], false, "{joined}");
            assert!(joined["id"].is_null(), "nobody asked for {joined}");
        }
        let epochs: HashSet<String> =
            lives.iter().map(|life| life[0]["epoch"].to_string()).collect();
        assert_eq!(epochs.len(), lives.len(), "a `joined` without a new epoch");
        lives.len() - 1
    }

    /// Asserts that the messages go on where each `joined` ended, without a hole
    /// or a repeat, that nothing was written twice and that all is among them
    /// that was acknowledged to `writers`.
    pub fn assert_complete(&self, writers: &[&Written]) {
        let mut seen = HashSet::new();
        for life in self.lives() {
            // What the old log lost may well be in the new one.
            let mut live = HashSet::new();
            let page = life[0]["messages"].as_array().expect("a list of messages");
            seen.extend(page.iter().map(|message| message["content"].to_string()));
            let next = life[0]["seq"].as_u64().expect("a seq is a number") + 1;
            let messages = life.iter().filter(|message| message["type"] == "chat");
            for (due, message) in (next..).zip(messages) {
                assert_eq!(message["seq"], due, "{message}");
                let content = message["content"].to_string();
                assert!(live.insert(content.clone()), "{content} came twice");
                seen.insert(content);
            }
        }
        for written in writers {
            for content in &written.acknowledged {
                let came = seen.contains(&format!("{content:?}"));
                assert!(came, "{content} did not come in {:?}", self.outline());
            }
        }
    }

    /// Of each life the epoch, where it was joined and how much came then and
    /// after: for people.
    fn outline(&self) -> Vec<String> {
        let outline = |life: &[Value]| {
            let joined = &life[0];
            let page = joined["messages"].as_array().map_or(0, Vec::len);
            let live = life.iter().filter(|message| message["type"] == "chat").count();
            format!("{} at {}: {page}, {live}", joined["epoch"], joined["seq"])
        };
        self.lives().into_iter().map(outline).collect()
    }

    /// Asserts that nobody was shown leaving.
    pub fn assert_nobody_left(&self, users: &[&str]) {
        for message in &self.messages {
            assert!(!users.iter().any(|user| went(message, user)), "{message}");
        }
    }
}

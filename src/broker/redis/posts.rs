//! Requests that came to another node than that of the session they are for, and
//! what nodes whisper to one another.
//!
//! All nodes hear them on the nodes' channel; the one that has the session
//! answers there. A request or an answer that is lost is found out by time: who
//! asked is told that nobody can be reached, and its client asks again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix::prelude::*;
use ahash::AHashMap;
use futures_util::future::BoxFuture;
use log::debug;
use redis::cmd;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use super::{bridge::RedisBridge, entry::written, node::Node, perhaps::understood};
use crate::{
    broker::Unavailable,
    cluster::{Posted, Whisper},
    model::{LifeId, RoomName, SessionId, UserId},
};

/// How long the node that has a session may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// At most so many requests of other nodes are on their way to sessions; more
/// are let go, and their nodes' clients ask again.
const UNDER_WAY: usize = 1024;

/// What is said on the nodes' channel about requests.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Ask { from: LifeId, ticket: u64, session: SessionId, messages: Vec<Box<str>> },
    Answer { to: LifeId, ticket: u64, posted: Posted },
    Whisper { from: LifeId, whisper: Box<RawValue> },
}

/// The requests of this node that wait for an answer, and how many of others do.
pub(super) struct Posts {
    waiting: Mutex<Waiting>,
    /// A permit for each request of another node that is on its way to a session. Whatever
    /// becomes of the request, its permit comes back with it.
    places: Arc<Semaphore>,
}

impl Default for Posts {
    fn default() -> Self {
        Self { waiting: Mutex::default(), places: Arc::new(Semaphore::new(UNDER_WAY)) }
    }
}

#[derive(Default)]
struct Waiting {
    last: u64,
    by_ticket: AHashMap<u64, oneshot::Sender<Posted>>,
}

impl Posts {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits for its answer. Whoever asked may stop waiting at any moment.
struct PendingPost<'a> {
    posts: &'a Posts,
    ticket: u64,
}

impl<'a> PendingPost<'a> {
    fn new(posts: &'a Posts) -> (Self, oneshot::Receiver<Posted>) {
        let (answer, answered) = oneshot::channel();
        let mut waiting = posts.waiting();
        waiting.last += 1;
        let ticket = waiting.last;
        waiting.by_ticket.insert(ticket, answer);
        (Self { posts, ticket }, answered)
    }
}

impl Drop for PendingPost<'_> {
    fn drop(&mut self) {
        self.posts.waiting().by_ticket.remove(&self.ticket);
    }
}

/// Reads a word, and says it again; none where it is not understood.
pub(super) fn reread(payload: &[u8]) -> Option<Vec<u8>> {
    let mut word = serde_json::from_slice(payload).ok()?;
    if let Word::Whisper { whisper, .. } = &mut word {
        let known: Whisper = serde_json::from_str(whisper.get()).ok()?;
        *whisper = to_raw_value(&known).ok()?;
    }
    Some(written(&word))
}

/// A session of this node answers a request of another.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Told {
    to: LifeId,
    ticket: u64,
    posted: BoxFuture<'static, Posted>,
    place: OwnedSemaphorePermit,
}

impl Node {
    /// Asks the other nodes, if the user has connections there.
    pub(super) async fn post(
        &self,
        user: &UserId,
        session: &SessionId,
        messages: Vec<Box<str>>,
    ) -> Result<Posted, Unavailable> {
        let life = self.life();
        let mut links = cmd("HKEYS");
        links.arg(self.names.links(&RoomName::inbox(user)));
        let lives = self.command(&links).await?;
        if understood::<String>(lives).all(|it| it == life.as_str()) {
            return Ok(Posted::Unknown);
        }
        let (pending, answered) = PendingPost::new(&self.posts);
        let ticket = pending.ticket;
        let session = session.clone();
        self.speak(&Word::Ask { from: life, ticket, session, messages }).await?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(posted)) => Ok(posted),
            Ok(Err(_)) | Err(_) => Err(Unavailable::Unreachable),
        }
    }

    /// Says something to the other nodes.
    pub(super) async fn whisper(&self, whisper: Box<RawValue>) -> Result<(), Unavailable> {
        self.speak(&Word::Whisper { from: self.life(), whisper }).await
    }

    async fn speak(&self, word: &Word) -> Result<(), Unavailable> {
        let Ok(word) = serde_json::to_string(word) else { return Ok(()) };
        let mut publish = cmd(self.verb());
        publish.arg(self.names.nodes()).arg(word);
        self.command::<u64>(&publish).await.map(drop)
    }

    /// Whether what came over the nodes' channel was about requests.
    pub(super) fn hear_of_posts(&self, payload: &[u8]) -> bool {
        if payload.first() != Some(&b'{') {
            return false;
        }
        match serde_json::from_slice(payload) {
            Ok(Word::Ask { from, ticket, session, messages }) if !self.is_own(&from) => {
                self.pass_on_post(from, ticket, session, messages);
            }
            Ok(Word::Answer { to, ticket, posted }) if self.is_own(&to) => {
                if let Some(answer) = self.posts.waiting().by_ticket.remove(&ticket) {
                    // Who asked may have gone.
                    let _ = answer.send(posted);
                }
            }
            Ok(Word::Whisper { from, whisper }) if !self.is_own(&from) => {
                self.hear_whisper(&whisper);
            }
            Ok(_) => {}
            Err(error) => debug!("a word of another node is not understood: {error}"),
        }
        true
    }

    fn pass_on_post(&self, to: LifeId, ticket: u64, session: SessionId, messages: Vec<Box<str>>) {
        let (Some(listeners), Some(bridge)) = (self.listeners.get(), self.bridge.get()) else {
            return;
        };
        let Ok(place) = self.posts.places.clone().try_acquire_owned() else { return };
        if let Some(posted) = (listeners.posts)(&session, messages) {
            bridge.do_send(Told { to, ticket, posted, place });
        }
    }
}

/// A whisper of another node is answered by one.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WhisperBack {
    answer: BoxFuture<'static, Whisper>,
    place: OwnedSemaphorePermit,
}

impl Node {
    fn hear_whisper(&self, whisper: &RawValue) {
        let (Some(listeners), Some(bridge)) = (self.listeners.get(), self.bridge.get()) else {
            return;
        };
        match serde_json::from_str(whisper.get()) {
            Ok(whisper) => {
                if let Some(answer) = (listeners.whispers)(whisper)
                    && let Ok(place) = self.posts.places.clone().try_acquire_owned()
                {
                    bridge.do_send(WhisperBack { answer, place });
                }
            }
            Err(error) => debug!("a whisper of another node is not understood: {error}"),
        }
    }
}

impl Handler<WhisperBack> for RedisBridge {
    type Result = ();

    fn handle(&mut self, WhisperBack { answer, place }: WhisperBack, ctx: &mut Self::Context) {
        let node = self.node.clone();
        let said = async move {
            // Whoever asked does not wait for longer. Where this is lost, they find out by time.
            if let Ok(answer) = timeout(PATIENCE, answer).await
                && let Ok(answer) = to_raw_value(&answer)
            {
                let _ = node.whisper(answer).await;
            }
            drop(place);
        };
        self.run(ctx, said, |_, _, _| ());
    }
}

impl Handler<Told> for RedisBridge {
    type Result = ();

    fn handle(&mut self, told: Told, ctx: &mut Self::Context) {
        let Told { to, ticket, posted, place } = told;
        let node = self.node.clone();
        let told = async move {
            // Whoever asked does not wait for longer. Where this is lost, they find out by time.
            if let Ok(posted) = timeout(PATIENCE, posted).await {
                let _ = node.speak(&Word::Answer { to, ticket, posted }).await;
            }
            drop(place);
        };
        self.run(ctx, told, |_, _, _| ());
    }
}

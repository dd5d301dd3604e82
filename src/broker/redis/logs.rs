//! Logs and state, as the broker's trait asks for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::FutureExt;
use redis::cmd;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{
    RedisBroker, entry,
    node::Node,
    perhaps::{Perhaps, odd, understood},
    script::{Call, INBOX, PAGE, PUBLISH, SEEN, SNAPSHOT, STATE, TOUCH},
};
use crate::{
    broker::{
        Answer, Broker, Figures, Health, Inbox, Page, PageRequest, PublishError, Receipt, Rooms,
        RoomsRequest, Snapshot, Start, StatePage, StateRequest, Subscriber, Unavailable, stored,
    },
    config::RoomSettings,
    model::{
        Body, Current, Draft, Epoch, Position, Publication, RoomName, Seq, StateEntry, Timestamp,
        Transient, UserId, WorkerId,
    },
};

/// How long it may take until a channel is subscribed.
const SUBSCRIBE: Duration = Duration::from_secs(3);

/// For how long, in milliseconds, a room with members is kept at least.
const KEPT: u64 = 300_000;

/// The hash of a room's state: each value behind its version.
type StoredState = Vec<(Perhaps<String>, Perhaps<String>)>;

/// An entry of a stream: its id, and `t`, its time, `d`, what it says.
type StreamEntry = Perhaps<(String, (String, Timestamp, String, Vec<u8>))>;

impl Node {
    /// A call that reads a room within its bounds.
    fn reading(&self, script: &'static super::script::Script, room: &RoomName) -> Call {
        let known = self.known(&self.names.channel(room));
        bounded(script.call(self.names.log(room)), known, &self.settings(room))
    }

    /// Where a room's log ends; what is known of that from now on.
    pub(super) async fn touch(
        &self,
        room: &RoomName,
    ) -> Result<(Position, Option<entry::RollVersion>), Unavailable> {
        let channel = self.names.channel(room);
        let (fresh, epoch, seq) = self.known(&channel);
        let mut keys = self.names.log(room);
        keys.push(self.names.who(room));
        let call = TOUCH.call(keys).arg(fresh).arg(epoch).arg(seq);
        let (epoch, seq, head): (String, Seq, Option<String>) = self.run(call).await?;
        let head = head.as_deref().and_then(entry::RollVersion::parse);
        Ok((position(&epoch, seq)?, head))
    }

    async fn subscribe(&self, room: &RoomName, by: &Subscriber) -> Result<Position, Unavailable> {
        let channel = self.names.channel(room);
        let waiting = self.table().subscribe(channel.clone(), room, by, Instant::now());
        if let Some(subscribed) = waiting {
            self.wishes.notify_one();
            let subscribed = timeout(SUBSCRIBE, subscribed).await;
            if !matches!(subscribed, Ok(Ok(()))) {
                return Err(Unavailable::Unreachable);
            }
        }
        let (end, _) = self.touch(room).await?;
        if let Some(followed) = self.table().get(&channel) {
            followed.reached(end);
        }
        Ok(end)
    }

    async fn publish(&self, room: &RoomName, draft: Draft) -> Result<Receipt, PublishError> {
        let channel = self.names.channel(room);
        let settings = self.settings(room);
        let mut keys = self.names.log(room);
        let meta = keys.first().cloned().unwrap_or_default();
        let nonce = draft.nonce.as_ref();
        let dedup = if nonce.is_some() { millis(settings.dedup_window) } else { 0 };
        // Without a nonce, a key that is of the same slot stands in its place.
        let user = draft.author.user.as_ref();
        keys.push(nonce.map_or(meta, |nonce| self.names.nonce(room, user, nonce)));
        let hooks = self.hooks_of(room, |wants| wants.messages).await?;
        keys.extend(hooks.keys());
        let call = PUBLISH.call(keys).arg(&channel).arg(self.verb()).arg(stored::encode(
            &draft.author,
            &draft.body,
            draft.nonce.as_ref(),
        ));
        let mut call = bounded(call, self.known(&channel), &settings).arg(dedup);
        call = match &draft.body {
            Body::Set { key, value } => call
                .arg("set")
                .arg(&**key)
                .arg(u8::from(value.is_some()))
                .arg(value.as_ref().map_or("", |value| value.get()))
                .arg(draft.if_version.map_or(String::new(), |version| version.to_string()))
                .arg(settings.state_keys)
                .arg(settings.state_bytes),
            Body::Message(_) | Body::Direct { .. } => {
                call.arg("").arg("").arg("").arg("").arg("").arg("").arg("")
            }
        };
        let is_followed = self.table().get(&channel).is_some();
        let call = call.arg(if is_followed { KEPT } else { 0 }).arg(millis(settings.state_ttl));
        let call = hooks.add_to(call);
        let answer: String = self.run_safely(call).await?;
        let (verdict, rest) = answer.split_once(' ').unwrap_or((&answer, ""));
        match verdict {
            "conflict" => {
                let (version, value) = match rest.split_once(' ') {
                    Some((version, value)) => (version, raw(value.to_owned())),
                    None => (rest, None),
                };
                let version = version.parse().map_err(|_| odd())?;
                Err(PublishError::Conflict(Current { value, version }))
            }
            "full" => {
                let (keys, bytes) = (settings.state_keys, settings.state_bytes);
                Err(PublishError::StateFull(format!("{keys} keys, {bytes} bytes")))
            }
            verdict => {
                let (epoch, rest) = rest.split_once(' ').ok_or_else(odd)?;
                let (seq, report) = rest.split_once(' ').unwrap_or((rest, ""));
                let position = position(epoch, seq.parse().map_err(|_| odd())?)?;
                let duplicate = verdict == "duplicate";
                if !duplicate {
                    let report: Vec<u64> =
                        report.split(' ').map_while(|count| count.parse().ok()).collect();
                    self.events_told(room, &hooks, &report);
                }
                if !duplicate && let Some(followed) = self.table().get(&channel) {
                    followed.reached(position);
                }
                Ok(Receipt { position, duplicate })
            }
        }
    }

    async fn relay(&self, room: &RoomName, transient: Transient) -> Result<(), Unavailable> {
        let mut publish = cmd(self.verb());
        publish.arg(self.names.channel(room)).arg(entry::encode_transient(&transient));
        self.command(&publish).await
    }

    async fn snapshot(&self, room: &RoomName, start: Start) -> Result<Snapshot, Unavailable> {
        let (newest, known) = match start {
            Start::End => (0, None),
            Start::Newest(count) => (count, None),
            Start::After { known, otherwise } => (otherwise, known),
        };
        let known = known.map_or_else(Default::default, |it| (it.epoch.to_string(), it.seq));
        let call = self.reading(&SNAPSHOT, room).arg(newest).arg(known.0).arg(known.1);
        let (epoch, seq, recovered, entries, state): (
            String,
            Seq,
            bool,
            Vec<StreamEntry>,
            StoredState,
        ) = self.run(call).await?;
        let position = position(&epoch, seq)?;
        Ok(Snapshot {
            position,
            recovered,
            messages: read_entries(room, position.epoch, entries),
            state: read_state(state),
        })
    }

    async fn page(&self, room: &RoomName, request: PageRequest) -> Result<Page, Unavailable> {
        let place = |seq: Option<Seq>| seq.map_or(String::new(), |seq| seq.to_string());
        let call = self
            .reading(&PAGE, room)
            .arg(place(request.before))
            .arg(place(request.after))
            .arg(request.limit);
        let page: Option<(String, Vec<StreamEntry>, bool)> = self.run(call).await?;
        // Reading makes no room: a log that nobody ever wrote has no life to name.
        let Some((epoch, entries, more)) = page else {
            return Ok(Page { epoch: Epoch::random(), messages: Vec::new(), more: false });
        };
        let epoch = position(&epoch, 0)?.epoch;
        Ok(Page { epoch, messages: read_entries(room, epoch, entries), more })
    }

    async fn state(
        &self,
        room: &RoomName,
        request: &StateRequest,
    ) -> Result<StatePage, Unavailable> {
        let call = self.reading(&STATE, room);
        let state: Option<(String, Seq, StoredState)> = self.run(call).await?;
        let Some((epoch, seq, state)) = state else { return Ok(StatePage::of_no_room()) };
        Ok(StatePage::cut(position(&epoch, seq)?, read_state(state), request))
    }

    async fn inbox(&self, user: &UserId) -> Result<Inbox, Unavailable> {
        let room = RoomName::inbox(user);
        let (epoch, end, seen, entries): (String, Seq, Seq, Vec<StreamEntry>) =
            self.run(self.reading(&INBOX, &room)).await?;
        let seen = position(&epoch, seen)?;
        Ok(Inbox { seen, end, unseen: read_entries(&room, seen.epoch, entries) })
    }

    async fn seen(&self, user: &UserId, epoch: Option<Epoch>, seq: Seq) -> Result<(), Unavailable> {
        let room = RoomName::inbox(user);
        let epoch = epoch.map_or(String::new(), |epoch| epoch.to_string());
        let call = SEEN.call(self.names.log(&room)).arg(seq).arg(epoch);
        self.run::<u64>(call).await.map(drop)
    }

    /// By which command something is handed on.
    pub(super) fn verb(&self) -> &'static str {
        if self.servers.sharded() { "SPUBLISH" } else { "PUBLISH" }
    }
}

/// Adds what scripts of a log are told of its room: a fresh epoch and the
/// farthest place known, and within which bounds it is kept.
fn bounded(call: Call, known: (String, String, u64), settings: &RoomSettings) -> Call {
    let (fresh, epoch, seq) = known;
    call.arg(fresh)
        .arg(epoch)
        .arg(seq)
        .arg(settings.history_size)
        .arg(settings.history_bytes)
        .arg(millis(settings.history_ttl))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn position(epoch: &str, seq: Seq) -> Result<Position, Unavailable> {
    Epoch::parse(epoch).map(|epoch| Position { epoch, seq }).ok_or_else(odd)
}

fn raw(json: String) -> Option<Arc<RawValue>> {
    RawValue::from_string(json).ok().map(Arc::from)
}

/// The state from its hash: each value behind its version.
fn read_state(state: StoredState) -> Vec<StateEntry> {
    let read = |(Perhaps(key), Perhaps(held)): (Perhaps<String>, Perhaps<String>)| {
        let (key, (version, value)) = (key?, read_value(&held?)?);
        Some(StateEntry { key: key.into(), value, version })
    };
    state.into_iter().filter_map(read).collect()
}

/// A value of the state behind its version.
pub(super) fn read_value(held: &str) -> Option<(Seq, Arc<RawValue>)> {
    let (version, value) = held.split_once(' ')?;
    Some((version.parse().ok()?, raw(value.to_owned())?))
}

fn read_entries(room: &RoomName, epoch: Epoch, entries: Vec<StreamEntry>) -> Vec<Arc<Publication>> {
    let read = |(id, (_, timestamp, _, stored)): (String, (_, Timestamp, _, Vec<u8>))| {
        let seq = id.split_once('-')?.0.parse().ok()?;
        stored::decode(room, Position { epoch, seq }, timestamp, &stored).map(Arc::new)
    };
    understood(entries).filter_map(read).collect()
}

impl Broker for RedisBroker {
    fn subscribe(&self, room: &RoomName, subscriber: &Subscriber) -> Answer<'_, Position> {
        let (node, room, subscriber) = (&self.0, room.clone(), subscriber.clone());
        async move { node.subscribe(&room, &subscriber).await }.boxed()
    }

    fn unsubscribe(&self, room: &RoomName, worker: WorkerId) {
        let channel = self.0.names.channel(room);
        self.0.table().unsubscribe(&channel, worker, Instant::now());
    }

    fn publish(&self, room: &RoomName, draft: Draft) -> Answer<'_, Receipt, PublishError> {
        let (node, room) = (&self.0, room.clone());
        async move {
            let began = Instant::now();
            let published = node.publish(&room, draft).await;
            let failed = published.as_ref().err().map(PublishError::cause);
            node.publishing.tried(began.elapsed(), failed);
            published
        }
        .boxed()
    }

    fn relay(&self, room: &RoomName, transient: Transient) -> Answer<'_, ()> {
        let (node, room) = (&self.0, room.clone());
        async move { node.relay(&room, transient).await }.boxed()
    }

    fn delivered_end(&self, room: &RoomName) -> Option<Position> {
        let channel = self.0.names.channel(room);
        self.0.table().get(&channel).and_then(|followed| followed.end)
    }

    fn snapshot(&self, room: &RoomName, start: Start) -> Answer<'_, Snapshot> {
        let (node, room) = (&self.0, room.clone());
        async move { node.snapshot(&room, start).await }.boxed()
    }

    fn page(&self, room: &RoomName, request: PageRequest) -> Answer<'_, Page> {
        let (node, room) = (&self.0, room.clone());
        async move { node.page(&room, request).await }.boxed()
    }

    fn state(&self, room: &RoomName, request: StateRequest) -> Answer<'_, StatePage> {
        let (node, room) = (&self.0, room.clone());
        async move { node.state(&room, &request).await }.boxed()
    }

    fn rooms(&self, request: RoomsRequest) -> Answer<'_, Option<Rooms>> {
        let node = &self.0;
        async move { node.rooms(request).await }.boxed()
    }

    fn inbox(&self, user: &UserId) -> Answer<'_, Inbox> {
        let (node, user) = (&self.0, user.clone());
        async move { node.inbox(&user).await }.boxed()
    }

    fn seen(&self, user: &UserId, epoch: Option<Epoch>, seq: Seq) -> Answer<'_, ()> {
        let (node, user) = (&self.0, user.clone());
        async move { node.seen(&user, epoch, seq).await }.boxed()
    }

    fn health(&self) -> Health {
        let Node { condition, .. } = &*self.0;
        let is = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        let problem = if !is(&condition.fed) && is(&condition.refused) {
            Some("Redis refuses what this node needs: its log has the command")
        } else if !is(&condition.linked) {
            Some("Redis cannot be reached")
        } else if is(&condition.full) {
            Some("Redis takes no writes for want of memory")
        } else if !is(&condition.fed) {
            Some("what other nodes publish is not heard")
        } else {
            None
        };
        Health { kind: "redis", ok: problem.is_none(), problem }
    }

    fn figures(&self) -> Option<Figures> {
        let Node { condition, publishing, .. } = &*self.0;
        // The first time was not again.
        let again = |made: &AtomicU64| made.load(Ordering::Relaxed).saturating_sub(1);
        Some(Figures {
            reconnects: again(&condition.reconnects),
            resubscriptions: again(&condition.resubscriptions),
            deaf: condition.deaf.load(Ordering::Relaxed),
            lost_subscriptions: condition.lost_repairs.load(Ordering::Relaxed),
            unwanted_subscriptions: condition.unwanted_repairs.load(Ordering::Relaxed),
            probe_lag: Duration::from_micros(condition.probe_lag.load(Ordering::Relaxed)),
            nodes: condition.nodes.load(Ordering::Relaxed),
            replicas: condition.replicas.load(Ordering::Relaxed),
            publishing: publishing.clone(),
        })
    }
}

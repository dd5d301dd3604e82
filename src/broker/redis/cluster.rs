//! What nodes tell one another, as the cluster's trait asks for it.

use std::{
    iter,
    time::{Duration, Instant},
};

use futures_util::future::{FutureExt, join};
use log::warn;
use redis::cmd;

use super::{
    RedisBroker,
    bridge::{Leave, Release},
    entry::{self, RollVersion},
    logs::millis,
    node::Node,
    orders::{Named, Place},
    perhaps::Perhaps,
    script::{ADMIT, ATTEMPT, ORDER, TELL},
};
use crate::{
    backend::Wants,
    broker::Unavailable,
    cluster::{
        Admission, Answer, Attempt, CLOCK_SLACK, Cluster, Entry, Listeners, NodeReport, Order,
        Posted, Roll, Unreachable, Whisper,
    },
    model::{Epoch, LifeId, RoomName, SessionId, Timestamp, UserId},
};

/// What a telling is answered by: how many entries changed, how many this life has
/// in the room, the roll's epoch and version, and what backends are told.
type Told = (u64, u64, String, u64, Vec<u64>);

impl From<Unavailable> for Unreachable {
    fn from(_: Unavailable) -> Self {
        Self
    }
}

impl Node {
    async fn tell(
        &self,
        room: &RoomName,
        entries: Vec<(UserId, Option<Entry>)>,
    ) -> Result<(), Unavailable> {
        let life = self.counted_life()?;
        if entries.iter().any(|(_, entry)| entry.is_some()) {
            self.index(&life, room).await?;
        }
        let hooks = self.hooks_of(room, Wants::presence).await?;
        let keys = [self.names.who(room), self.names.lives_in(room)].into_iter();
        let (known, lost) = self.roll_made(room);
        let (epoch, version) =
            known.map_or_else(Default::default, |it| (it.epoch.to_string(), it.version));
        let mut call = TELL
            .call(keys.chain(hooks.keys()))
            .arg(self.names.channel(room))
            .arg(self.verb())
            .arg(life.as_str())
            .arg(Epoch::random().to_string())
            .arg(entry::encode_change(&life, &entries))
            .arg(epoch)
            .arg(version)
            .arg(u8::from(lost))
            .arg(millis(self.lease));
        call = hooks.add_to(call);
        for (user, entry) in &entries {
            call = call.arg(user.as_str()).arg(entry::encode_entry(entry.as_ref()));
        }
        let told = self.run::<Told>(call).await;
        self.left_by(&life, room);
        let (_, own, epoch, version, report) = told?;
        let version = Epoch::parse(&epoch).map(|epoch| RollVersion { epoch, version });
        self.made_roll(room, own, version);
        self.events_told(room, &hooks, &report);
        Ok(())
    }

    /// All entries of a room, with the version they make; those of this process
    /// left out.
    pub(super) async fn read_entries(
        &self,
        room: &RoomName,
    ) -> Result<(Vec<(LifeId, UserId, Entry)>, Option<entry::RollVersion>), Unavailable> {
        let mut all = cmd("HGETALL");
        all.arg(self.names.who(room));
        let fields: Vec<(Perhaps<String>, Perhaps<String>)> = self.command(&all).await?;
        let mut version = None;
        let mut entries = Vec::with_capacity(fields.len());
        for (Perhaps(field), Perhaps(value)) in fields {
            if field.as_deref() == Some("") {
                version = value.as_deref().and_then(RollVersion::parse);
                continue;
            }
            let known = field.zip(value).and_then(|(field, value)| {
                let (life, user) = field.split_once('\0')?;
                let entry = serde_json::from_str(&value).ok()?;
                Some((LifeId::named(life), UserId::parse(user).ok()?, entry))
            });
            match known {
                Some((life, ..)) if self.is_own(&life) => {}
                Some(entry) => entries.push(entry),
                None => warn!("an entry of the roll of {room:?} is not understood"),
            }
        }
        Ok((entries, version))
    }

    async fn admit(
        &self,
        user: &UserId,
        open: usize,
        limit: usize,
    ) -> Result<Admission, Unavailable> {
        let (life, inbox) = (self.counted_life()?, RoomName::inbox(user));
        let call = ADMIT.call([self.names.links(&inbox)]).arg(life.as_str()).arg(open).arg(limit);
        let (indexed, others) = join(self.index(&life, &inbox), self.run::<i64>(call)).await;
        self.left_by(&life, &inbox);
        indexed?;
        Ok(match usize::try_from(others?) {
            Ok(elsewhere) => Admission::Admitted { elsewhere },
            Err(_) => Admission::TooMany,
        })
    }

    /// How many connections this node has of a user now.
    pub(super) async fn count(&self, user: &UserId, open: usize) -> Result<(), Unavailable> {
        let (life, inbox) = (self.counted_life()?, RoomName::inbox(user));
        let links = self.names.links(&inbox);
        if open == 0 {
            let mut none = cmd("HDEL");
            none.arg(links).arg(life.as_str());
            return self.command::<u64>(&none).await.map(drop);
        }
        self.index(&life, &inbox).await?;
        let mut some = cmd("HSET");
        some.arg(links).arg(life.as_str()).arg(open);
        let counted = self.command::<u64>(&some).await;
        self.left_by(&life, &inbox);
        counted.map(drop)
    }

    /// How long somebody has to wait who tries once more, by a counter of tries.
    async fn attempt(
        &self,
        counter: String,
        per_second: u32,
    ) -> Result<Option<Duration>, Unavailable> {
        let wait: u64 = self.run(ATTEMPT.call([counter]).arg(per_second)).await?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }

    /// Gives an order. The nodes hear of it by the stream; this one obeys at once, but for
    /// take-overs, which hold in the order of the stream.
    async fn order(&self, order: Order) -> Result<(), Unavailable> {
        let named = Named { name: Epoch::random().to_string().into(), order };
        self.give(&named).await?;
        match named.order {
            Order::TakeOver { .. } => {}
            Order::Disconnect { .. } | Order::End { .. } | Order::Revoke(_) => {
                self.obey(iter::once(named));
            }
        }
        Ok(())
    }

    /// Puts an order into the stream.
    pub(super) async fn give(&self, named: &Named) -> Result<(), Unavailable> {
        let until = match &named.order {
            Order::Revoke(revocation) => revocation.until.to_string(),
            Order::TakeOver { .. } | Order::Disconnect { .. } | Order::End { .. } => String::new(),
        };
        let call = ORDER
            .call([self.names.orders(), self.names.revoked()])
            .arg(entry::written(&named.order))
            .arg(until)
            .arg(self.names.nodes())
            .arg(self.verb())
            .arg(&*named.name)
            .arg(millis(CLOCK_SLACK));
        let place: String = self.run_safely(call).await?;
        if let Some(place) = Place::parse(&place) {
            self.orders().gave(place, named.clone(), Instant::now());
        }
        Ok(())
    }

    /// The clock of Redis.
    async fn clock(&self) -> Result<Timestamp, Unavailable> {
        let (seconds, micros): (u64, u64) = self.command(&cmd("TIME")).await?;
        Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
    }
}

impl Cluster for RedisBroker {
    fn life(&self) -> LifeId {
        self.0.life()
    }

    fn listen(&self, listeners: Listeners) {
        if self.0.listeners.set(listeners).is_err() {
            warn!("somebody listens to the other nodes already");
        }
        self.0.obey(iter::empty());
    }

    fn follow(&self, room: &RoomName) {
        let channel = self.0.names.channel(room);
        let subscribed = self.0.table().follow(channel, room, Instant::now());
        match subscribed {
            // It is read when its channel is subscribed.
            Some(false) => self.0.wishes.notify_one(),
            Some(true) => self.0.read_roll(room),
            None => {}
        }
    }

    fn unfollow(&self, room: &RoomName) {
        self.0.table().unfollow(&self.0.names.channel(room), Instant::now());
    }

    fn tell(&self, room: &RoomName, entries: Vec<(UserId, Option<Entry>)>) -> Answer<'_, ()> {
        let (node, room) = (&self.0, room.clone());
        async move { Ok(node.tell(&room, entries).await?) }.boxed()
    }

    fn roll(&self, room: &RoomName) -> Answer<'_, Roll> {
        let (node, room) = (&self.0, room.clone());
        async move {
            let (entries, _) = node.read_entries(&room).await?;
            Ok(Roll { entries, whole: true })
        }
        .boxed()
    }

    fn headcount(&self, rooms: Vec<RoomName>) -> Answer<'_, Vec<usize>> {
        let node = &self.0;
        async move { Ok(node.headcount(rooms).await?) }.boxed()
    }

    fn report(&self, report: NodeReport) -> Answer<'_, ()> {
        let node = &self.0;
        async move { Ok(node.report(&report).await?) }.boxed()
    }

    fn reports(&self) -> Answer<'_, Vec<NodeReport>> {
        let node = &self.0;
        async move { Ok(node.reports().await?) }.boxed()
    }

    fn attempt(&self, who: Attempt<'_>, per_second: u32) -> Answer<'_, Option<Duration>> {
        let (node, names) = (&self.0, &self.0.names);
        let counter = match who {
            Attempt::Address(address) => names.attempts("address", &address.to_string()),
            Attempt::User(user) => names.attempts("user", user.as_str()),
        };
        async move { Ok(node.attempt(counter, per_second).await?) }.boxed()
    }

    fn admit(&self, user: &UserId, open: usize, limit: usize) -> Answer<'_, Admission> {
        let (node, user) = (&self.0, user.clone());
        async move { Ok(node.admit(&user, open, limit).await?) }.boxed()
    }

    fn release(&self, user: &UserId, open: usize) {
        if let Some(bridge) = self.0.bridge.get() {
            bridge.do_send(Release { user: user.clone(), open });
        }
    }

    fn order(&self, order: Order) -> Answer<'_, ()> {
        let node = &self.0;
        async move { Ok(node.order(order).await?) }.boxed()
    }

    fn clock(&self) -> Answer<'_, Timestamp> {
        let node = &self.0;
        async move { Ok(node.clock().await?) }.boxed()
    }

    fn post(
        &self,
        user: &UserId,
        session: &SessionId,
        messages: &[Box<str>],
    ) -> Answer<'_, Posted> {
        let (node, user, session) = (&self.0, user.clone(), session.clone());
        let messages = messages.to_vec();
        async move { Ok(node.post(&user, &session, messages).await?) }.boxed()
    }

    fn whisper(&self, whisper: &Whisper) -> Answer<'_, ()> {
        let (node, written) = (&self.0, serde_json::value::to_raw_value(whisper));
        async move {
            match written {
                Ok(written) => Ok(node.whisper(written).await?),
                Err(_) => Err(Unreachable),
            }
        }
        .boxed()
    }

    fn leave(&self) {
        if let Some(bridge) = self.0.bridge.get() {
            bridge.do_send(Leave);
        }
    }
}

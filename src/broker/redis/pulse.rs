//! The beat of a node: it says that it lives, sees who does not, takes away what
//! those left behind, and learns of orders.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::{AHashMap, AHashSet};
use futures_util::{
    future,
    stream::{self, StreamExt, TryStreamExt},
};
use log::{info, warn};
use redis::{Value, cmd, from_redis_value};
use tokio::time::timeout;

use super::{
    bridge::RedisBridge,
    feed::Feeds,
    node::Node,
    orders::{Named, Place, Streamed, StreamedOrder, read_entry},
    perhaps::{Perhaps, understood},
    script::{BEAT, CONDEMN, Call, REAP},
    standing::{Fate, Resync},
};
use crate::{
    backend::Wants,
    broker::Unavailable,
    cluster::{self, Order, Revocation},
    model::{Epoch, LifeId, RoomName},
};

/// How long one beat may take. A Redis that takes longer cannot be used.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long the first one may take, which reads the standing revocations.
const FIRST: Duration = Duration::from_secs(10);

/// How long the sentinels may take to say who is the master.
const SENTINELS: Duration = Duration::from_millis(500);

/// As many orders are read at once as the script gives.
const ORDERS: usize = 1000;

/// After so many beats a life that was still not reaped is reaped by whoever sees it.
const ORPHANED: u32 = 5;

/// So many rooms of a dead life are reaped at once.
const AT_ONCE: usize = 64;

/// What the beat remembers.
#[derive(Default)]
pub(super) struct Pulse {
    /// How often this life beat.
    count: u64,
    beating: bool,
    /// Whether it was asked to beat while it did.
    again: bool,
    /// The last order that was passed on, or that was before this node came.
    last_order: Option<Place>,
    /// The last one that was before this node came.
    first_order: Option<Place>,
    pub(super) resync: Resync,
    /// The lives that are being reaped by this node.
    reaping: AHashSet<LifeId>,
    /// For how many beats lives were seen to wait for being reaped.
    orphaned: AHashMap<LifeId, u32>,
}

/// What one beat brought.
pub(super) struct Heartbeat {
    /// Whether this life is still counted.
    counted: bool,
    lives: Vec<(LifeId, u64)>,
    dying: Vec<LifeId>,
    /// Those of them that are former lives of this process.
    owned: Vec<LifeId>,
    /// The revocations that stood when this node came, with their epoch.
    standing: Option<(String, Vec<Revocation>)>,
    orders: Vec<Named>,
    last_order: Option<Place>,
    pub(super) fate: Fate,
    /// Whether another node stored revocations that Redis had lost.
    pub(super) recalled: bool,
    /// The epoch of the stored revocations; none where this node does not hear orders.
    pub(super) epoch: Option<String>,
}

/// What a beat is answered by.
type Beaten = (bool, Vec<CountedLife>, Vec<Perhaps<String>>, Vec<StreamedOrder>, String, String);

/// A life, and how often it beat.
type CountedLife = (Perhaps<String>, Perhaps<u64>);

impl RedisBridge {
    /// Beats, unless it does.
    pub(super) fn beat(&mut self, ctx: &mut Context<Self>) {
        let Some(made) = self.linked() else { return };
        if self.pulse.beating {
            self.pulse.again = true;
            return;
        }
        self.pulse.beating = true;
        self.pulse.count += 1;
        let (node, count) = (self.node.clone(), self.pulse.count);
        let (attention, feeds) = (self.pulse.attention(), self.feeds().cloned());
        let patience = if attention.is_some() { PATIENCE } else { FIRST };
        let beat = async move {
            let beat = async {
                let beat = node.beat(count, attention).await?;
                node.look_after_master(made, count).await?;
                if let Some(feeds) = feeds {
                    node.probe(&feeds).await;
                }
                Ok::<Heartbeat, Unavailable>(beat)
            };
            timeout(patience, beat).await.unwrap_or(Err(Unavailable::Unreachable))
        };
        self.run(ctx, beat, move |act, beat, ctx| {
            act.pulse.beating = false;
            match beat.unwrap_or(Err(Unavailable::Unreachable)) {
                Ok(beat) => {
                    act.works();
                    act.beaten(beat, ctx);
                }
                Err(error) => act.unbeaten(made, error, ctx),
            }
            if std::mem::take(&mut act.pulse.again) {
                act.beat(ctx);
            }
        });
    }

    fn beaten(&mut self, mut beat: Heartbeat, ctx: &mut Context<Self>) {
        if !beat.counted {
            return self.live_anew(ctx);
        }
        self.pulse.again |= beat.orders.len() >= ORDERS;
        self.pulse.last_order = beat.last_order;
        if self.pulse.first_order.is_none() {
            self.pulse.first_order = beat.last_order;
        }
        if let Some((epoch, standing)) = beat.standing.take() {
            self.pulse.resync.epoch = epoch;
            self.node.obey_standing(standing.into_iter().map(Order::Revoke));
        }
        self.judge_orders(&beat, ctx);
        self.node.obey(beat.orders);
        self.make_feeds_if_due(ctx);
        let present = self.node.life();
        let lives = beat.lives.into_iter().filter(|(life, _)| *life != present).collect();
        for (life, beat) in self.lives.observe(lives, self.node.patience(), Instant::now()) {
            self.reap(life, Some(beat), ctx);
        }
        self.node.condition.nodes.store(self.lives.len() + 1, Ordering::Relaxed);
        let mut before = std::mem::take(&mut self.pulse.orphaned);
        for life in beat.dying {
            let beats = before.remove(&life).unwrap_or(0) + 1;
            self.pulse.orphaned.insert(life.clone(), beats);
            // What this process itself left nobody else has begun with.
            if beats >= ORPHANED || beat.owned.contains(&life) {
                self.reap(life, None, ctx);
            }
        }
    }

    /// Takes away what a life left behind. One that stood still at this beat is
    /// declared over first, unless it beats after all.
    fn reap(&mut self, life: LifeId, still_at: Option<u64>, ctx: &mut Context<Self>) {
        if !self.pulse.reaping.insert(life.clone()) {
            return;
        }
        let (node, over) = (self.node.clone(), life.clone());
        let reaped = async move {
            match still_at {
                Some(beat) => node.condemn(&over, beat).await,
                None => node.reap(&over).await,
            }
        };
        // Where it failed, whoever sees that it waits begins again.
        self.run(ctx, reaped, move |act, _, _| {
            act.pulse.reaping.remove(&life);
        });
    }

    /// The other nodes gave this one up, or Redis lost its data: all that this
    /// node told is void.
    fn live_anew(&mut self, ctx: &mut Context<Self>) {
        warn!("the other nodes do not know this one any more; it tells all it knows again");
        // The first beat of the new life is done.
        self.pulse.count = 1;
        self.lives.forget();
        self.pulse.resync.ask();
        let Some(listeners) = self.node.listeners.get() else { return };
        // Else presence would believe the others to know what they do not.
        listeners.presence.do_send(cluster::Heard::Anew);
        let open = (listeners.open)();
        let node = self.node.clone();
        let counted = async move {
            stream::iter(open)
                .map(Ok)
                .try_for_each_concurrent(AT_ONCE, |(user, open)| {
                    let node = node.clone();
                    async move { node.count(&user, open).await }
                })
                .await
        };
        // Where it fails the connection did, and another life begins.
        self.run(ctx, counted, |_, _, _| ());
        self.pulse.again = true;
    }
}

impl Pulse {
    /// Of which orders a beat is to hear; none before the first one.
    fn attention(&self) -> Option<Attention> {
        let (last, first) = (self.last_order?, self.first_order?);
        Some(Attention { last, first, epoch: self.resync.epoch.clone() })
    }
}

/// Of which orders a beat is to hear.
struct Attention {
    last: Place,
    first: Place,
    epoch: String,
}

impl Node {
    async fn beat(
        &self,
        count: u64,
        attention: Option<Attention>,
    ) -> Result<Heartbeat, Unavailable> {
        let owned = self.own_up().await?;
        let (attention, standing) = match attention {
            None => {
                let (last, epoch, standing) = self.standing().await?;
                let attention = Attention { last, first: last, epoch: epoch.clone() };
                (attention, Some((epoch, standing)))
            }
            Some(attention) => (attention, None),
        };
        let listens = self.listeners.get().is_some();
        let began = Instant::now();
        let beat = self.beat_of(&self.life(), count, listens.then_some(&attention));
        let (counted, lives, dying, new, fate, epoch): Beaten = self.run(beat).await?;
        if counted {
            self.counted(began);
        } else {
            // Counted before it tells anything: else nobody would reap it.
            let next = self.next_life();
            let began = Instant::now();
            self.run::<Beaten>(self.beat_of(&next, 1, None)).await?;
            self.live_anew(next, began);
        }
        let last_order = new.last().and_then(|(place, _)| Place::parse(place));
        let (mut orders, mut recalled) = (Vec::with_capacity(new.len()), false);
        for (place, fields) in new {
            match read_entry(&place, fields) {
                Some(Streamed::Order(named)) => orders.push(named),
                Some(Streamed::Recall) => recalled = true,
                Some(Streamed::Begun) => {}
                None => warn!("an order that this version does not understand was passed over"),
            }
        }
        Ok(Heartbeat {
            counted,
            lives: lives.into_iter().filter_map(beating).collect(),
            dying: understood(dying).map(|life| LifeId::named(&life)).collect(),
            owned,
            standing,
            orders,
            last_order: Some(last_order.unwrap_or(attention.last)),
            fate: match fate.as_str() {
                "cut" => Fate::Cut,
                "lost" => Fate::Lost,
                _ => Fate::Whole,
            },
            recalled,
            epoch: (listens && counted).then_some(epoch),
        })
    }

    /// A beat that hears of orders, or of none.
    fn beat_of(&self, life: &LifeId, count: u64, attention: Option<&Attention>) -> Call {
        let names = &self.names;
        let keys = [names.lives(), names.dying(), names.orders(), names.revoked()];
        let call = BEAT.call(keys).arg(life.as_str()).arg(count);
        let Some(Attention { last, first, epoch }) = attention else {
            return call.arg("").arg("").arg("").arg("");
        };
        let given = self.orders().last_given(*last).map_or(String::new(), |it| it.to_string());
        call.arg(last.to_string()).arg(given).arg(first.to_string()).arg(epoch)
    }

    /// Whether the master is still one, and how many replicas it has.
    async fn look_after_master(&self, made: u64, count: u64) -> Result<(), Unavailable> {
        let Some(master) = self.master(made) else { return Ok(()) };
        let role: Vec<Value> = self.command(&cmd("ROLE")).await?;
        let mut role = role.into_iter();
        let name: Option<String> = role.next().and_then(|it| from_redis_value(it).ok());
        if name.as_deref() != Some("master") {
            return Err(Unavailable::Unreachable);
        }
        let replicas: Vec<Value> =
            role.nth(1).and_then(|it| from_redis_value(it).ok()).unwrap_or_default();
        self.condition.replicas.store(replicas.len(), Ordering::Relaxed);
        // A master that was cut off goes on believing that it is one.
        if self.servers.may_move() && count.is_multiple_of(2) {
            // Sentinels that do not answer say nothing of the master.
            let current = timeout(SENTINELS, self.servers.current_master()).await;
            if let Ok(Ok(current)) = current
                && !master.is(&current)
            {
                return Err(Unavailable::Unreachable);
            }
        }
        Ok(())
    }

    /// Speaks on the channels on which this node is to hear itself.
    async fn probe(&self, feeds: &Feeds) {
        for probe in feeds.probes() {
            let mut publish = cmd(self.verb());
            publish.arg(probe).arg("");
            // A master of several that is away is noticed by its connection.
            if self.command::<u64>(&publish).await.is_err() {
                feeds.hush(probe);
            }
        }
    }

    /// A life is over, unless it beats after all.
    async fn condemn(&self, life: &LifeId, beat: u64) -> Result<(), Unavailable> {
        let call =
            CONDEMN.call([self.names.lives(), self.names.dying()]).arg(life.as_str()).arg(beat);
        if self.run::<bool>(call).await? {
            warn!("the node of the life {life} is silent: its users leave");
            self.reap(life).await?;
        }
        Ok(())
    }

    /// Takes away what a life that is over left behind.
    async fn reap(&self, life: &LifeId) -> Result<(), Unavailable> {
        let index = self.names.rooms_of(life);
        let mut count = 0;
        loop {
            let rooms = self.command(cmd("SMEMBERS").arg(&index)).await?;
            let rooms: Vec<String> = understood(rooms).collect();
            if rooms.is_empty() {
                break;
            }
            count += rooms.len();
            for rooms in rooms.chunks(AT_ONCE) {
                let reaped = rooms.iter().map(|room| self.reap_room(life, room));
                future::try_join_all(reaped).await?;
                // Not all of the index: it may have grown meanwhile.
                self.command::<u64>(cmd("SREM").arg(&index).arg(rooms)).await?;
            }
        }
        self.command::<u64>(cmd("SREM").arg(self.names.dying()).arg(life.as_str())).await?;
        if self.command::<bool>(cmd("EXISTS").arg(&index)).await? {
            self.command::<u64>(cmd("SADD").arg(self.names.dying()).arg(life.as_str())).await?;
        }
        info!("the life {life} is reaped: it had entries in {count} rooms");
        Ok(())
    }

    async fn reap_room(&self, life: &LifeId, room: &str) -> Result<(), Unavailable> {
        let room = RoomName::named(room);
        let hooks = self.hooks_of(&room, Wants::presence).await?;
        let keys = [self.names.who(&room), self.names.lives_in(&room)].into_iter();
        let call = REAP
            .call(keys.chain(hooks.keys()).chain([self.names.links(&room)]))
            .arg(self.names.channel(&room))
            .arg(self.verb())
            .arg(life.as_str())
            .arg(Epoch::random().to_string());
        let (_, report): (u64, Vec<u64>) = self.run(hooks.add_to(call)).await?;
        self.events_told(&room, &hooks, &report);
        Ok(())
    }
}

fn beating((Perhaps(life), Perhaps(beat)): CountedLife) -> Option<(LifeId, u64)> {
    Some((LifeId::named(&life?), beat?))
}

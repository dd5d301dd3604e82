use std::time::Duration;

use super::{DURABLE, RedisServer};
use crate::harness::eventually;

/// How many slots there are.
const SLOTS: u16 = 16_384;

/// How long a slot that moves stays as it is after each step, so that clients
/// meet all of them.
const STEP: Duration = Duration::from_millis(10);

/// Three masters that share the keys.
pub struct RedisCluster {
    pub masters: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts them, gives each a third of the slots and waits until all of them
    /// say that the cluster works.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same, of servers that have written down what they answer.
    pub async fn durable() -> Self {
        Self::with(&DURABLE).await
    }

    async fn with(arguments: &[&str]) -> Self {
        let own = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let mut masters = Vec::new();
        for _ in 0..3 {
            masters.push(RedisServer::with(&[&own, arguments].concat()).await);
        }
        let cluster = Self { masters };
        for (at, master) in (0_u16..).zip(&cluster.masters) {
            let (first, last) = (at * SLOTS / 3 + u16::from(at > 0), (at + 1) * SLOTS / 3);
            let last = last.min(SLOTS - 1);
            master.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            master.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        // Whoever knows another takes no epoch any more, and they make each other known.
        for (at, master) in cluster.masters.iter().enumerate() {
            for other in &cluster.masters[at + 1..] {
                let (port, bus) = (other.port().to_string(), other.ports.bus.to_string());
                master.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
        }
        cluster.works().await;
        cluster
    }

    /// Waits until all masters say that all slots are served.
    pub async fn works(&self) {
        for master in &self.masters {
            eventually("the cluster to work", async || {
                let info = master.command(&["CLUSTER", "INFO"]);
                (info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_slots_ok:{SLOTS}"))
                    && info.contains("cluster_known_nodes:3"))
                .then_some(())
            })
            .await;
        }
    }

    /// As `broker.url` names it.
    pub fn url(&self) -> String {
        let places: Vec<String> =
            self.masters.iter().map(|it| format!("127.0.0.1:{}", it.port())).collect();
        format!("redis+cluster://{}", places.join(","))
    }

    /// Which of the masters has a slot, by its own word.
    pub fn owner(&self, slot: u16) -> usize {
        let owns = |master: &RedisServer| {
            let nodes = master.command(&["CLUSTER", "NODES"]);
            let own = nodes.lines().find(|line| line.contains("myself"))?;
            let mut ranges = own.split(' ').skip(8).filter_map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
            });
            ranges.find(|range| range.contains(&slot))
        };
        let owner = self.masters.iter().position(|it| owns(it).is_some());
        owner.unwrap_or_else(|| panic!("no master has slot {slot}"))
    }

    /// The slots of one master that hold keys.
    pub fn slots_in_use(&self, master: usize) -> Vec<u16> {
        let keys = self.masters[master].command(&["KEYS", "*"]);
        let mut slots: Vec<u16> = keys.lines().map(slot_of).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Moves a slot and its keys to another master while clients use them.
    pub async fn migrate_slot(&self, slot: u16, to: usize) {
        let (from, to) = (&self.masters[self.owner(slot)], &self.masters[to]);
        let id = |it: &RedisServer| it.command(&["CLUSTER", "MYID"]);
        let (number, source, target) = (slot.to_string(), id(from), id(to));
        to.command(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &source]);
        from.command(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &target]);
        let port = to.port().to_string();
        loop {
            // Few at a time, so that a room's keys are on both sides for a while.
            let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &number, "20"]);
            if keys.is_empty() {
                break;
            }
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.lines());
            from.command(&migrate);
            tokio::time::sleep(STEP).await;
        }
        to.command(&["CLUSTER", "SETSLOT", &number, "NODE", &target]);
        for master in &self.masters {
            tokio::time::sleep(STEP).await;
            master.command(&["CLUSTER", "SETSLOT", &number, "NODE", &target]);
        }
    }
}

/// The slot of a key: CRC-16 (XMODEM) of the key, or of what stands in its first
/// braces.
fn slot_of(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map_or(key, |(tag, _)| if tag.is_empty() { key } else { tag });
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    crc % SLOTS
}

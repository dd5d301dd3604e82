//! Several nodes that tell one another late, in any order of the nodes: in the
//! end all show the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::{
    node::{Mail, Node, Shown, shown},
    *,
};
use crate::cluster::{Entry, Roll};

pub(super) const NODES: usize = 3;
const USERS: usize = 3;
pub(super) const ROOMS: usize = 2;

struct Net {
    nodes: Vec<Node>,
    store: BTreeMap<(RoomName, LifeId, UserId), Entry>,
    limit: usize,
    start: Instant,
    now: u64,
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("u{}", number % USERS)).unwrap()
}

pub(super) fn room(number: usize) -> RoomName {
    RoomName::parse(&format!("r{}", number % ROOMS)).unwrap()
}

/// Whom every node watches.
pub(super) fn watched() -> UserId {
    user(0)
}

impl Net {
    fn new(limit: usize) -> Self {
        let nodes = (0..NODES).map(|_| Node::new(limit)).collect();
        Self { nodes, store: BTreeMap::new(), limit, start: Instant::now(), now: 0 }
    }

    fn post(&mut self, from: usize, room: &RoomName, entries: &[(UserId, Option<Entry>)]) {
        let life = self.nodes[from].life.clone();
        for (user, entry) in entries {
            let key = (room.clone(), life.clone(), user.clone());
            match entry {
                Some(entry) => self.store.insert(key, entry.clone()),
                None => self.store.remove(&key),
            };
        }
        for (_, node) in self.nodes.iter_mut().enumerate().filter(|(to, _)| *to != from) {
            let (room, life) = (room.clone(), life.clone());
            node.mail[from].push_back(Mail { room, life, entries: entries.to_vec() });
        }
    }

    /// A node tells what changed in one room.
    fn tell(&mut self, from: usize, pick: usize) {
        let node = &mut self.nodes[from];
        let Some((room, _)) = node.dirty.iter().nth(pick % node.dirty.len().max(1)) else { return };
        let room = room.clone();
        let (told, left) = std::mem::take(&mut node.dirty).into_iter().partition(|it| it.0 == room);
        node.dirty = left;
        let told: BTreeSet<(RoomName, UserId)> = told;
        let entry = |(_, user): (RoomName, UserId)| {
            let entry = node.roster.entry(&room, &user);
            (user, entry)
        };
        let entries: Vec<_> = told.into_iter().map(entry).collect();
        self.post(from, &room, &entries);
    }

    fn deliver(&mut self, to: usize, from: usize) {
        let node = &mut self.nodes[to];
        if let Some(Mail { room, life, entries }) = node.mail[from].pop_front()
            && node.follows.contains(&room)
        {
            node.roster.hear(&room, &life, entries);
        }
    }

    /// A node reads a room that it follows: all, or a part, as from a store that
    /// is filled again.
    fn read(&mut self, to: usize, pick: usize, part: Option<usize>) {
        let now = self.at();
        let node = &mut self.nodes[to];
        let Some(room) = node.unread.iter().nth(pick % node.unread.len().max(1)).cloned() else {
            return;
        };
        let stored = self.store.iter().enumerate();
        let wanted = stored.filter(|(index, ((stored, life, _), _))| {
            let left_out = part.is_some_and(|part| (index + part) % 2 == 0);
            *stored == room && *life != node.life && !left_out
        });
        let entries = wanted
            .map(|(_, ((_, life, user), entry))| (life.clone(), user.clone(), entry.clone()))
            .collect();
        for mail in &mut node.mail {
            mail.retain(|mail| mail.room != room);
        }
        if part.is_none() {
            node.unread.remove(&room);
        }
        node.roster.roll(&room, Roll { entries, whole: part.is_none() }, now);
    }

    /// The others take a node's entries away.
    fn reap(&mut self, dead: usize) {
        let life = self.nodes[dead].life.clone();
        let gone: Vec<_> = self.store.keys().filter(|(_, of, _)| *of == life).cloned().collect();
        for (room, _, user) in gone {
            self.post(dead, &room, &[(user, None)]);
        }
    }

    fn at(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn step(&mut self, kind: u8, at: usize, pick: usize, other: usize) {
        let now = self.now;
        let instant = self.at();
        // No two clocks are the same.
        let clock = now + 700 * at as u64;
        let node = &mut self.nodes[at];
        let many = node.sessions.len().max(1);
        let session = node.sessions.get_mut(pick % many);
        match (kind, session) {
            (0 | 1, _) => {
                let (link, user) = (LinkId::next(), user(pick));
                let name = (!other.is_multiple_of(3)).then(|| format!("n{}", other % 3).into());
                let profile = Arc::new(Profile { user: user.clone(), name, meta: None });
                node.roster.connect(link, WorkerId::next(), profile, clock);
                node.sessions.push((link, user, BTreeSet::new()));
            }
            (2..=4, Some((link, _, rooms))) => {
                node.roster.track(*link, &room(other), clock).unwrap();
                rooms.insert(room(other));
            }
            (5, Some((link, _, rooms))) => {
                node.roster.untrack(*link, &room(other));
                rooms.remove(&room(other));
            }
            (6, Some((link, ..))) => {
                node.roster.disconnect(*link, instant);
                node.sessions.swap_remove(pick % many);
            }
            (7, Some((link, ..))) => {
                let status = [Status::Online, Status::Away, Status::Busy][other % 3];
                node.roster.set_status(*link, status, None, clock);
            }
            (8 | 9, _) => self.tell(at, pick),
            (10..=12, _) => self.deliver(at, other % NODES),
            (13, _) => self.read(at, pick, None),
            (14, _) => self.read(at, pick, Some(other)),
            (15, _) if other == 0 => {
                self.reap(at);
                self.nodes[at] = Node::new(self.limit);
            }
            (16, _) if other == 0 => {
                self.reap(at);
                self.nodes[at].life = LifeId::random("node");
                let own = self.nodes[at].roster.own();
                self.nodes[at].dirty.extend(own);
            }
            _ => {}
        }
    }

    fn settle(&mut self) -> Result<(), TestCaseError> {
        let now = self.at();
        for node in &mut self.nodes {
            node.roster.expire(now);
            node.follow_up();
            node.check()?;
        }
        Ok(())
    }

    /// Until all is told and every grace is over.
    fn come_to_rest(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..2 {
            while self.nodes.iter().any(|node| {
                let mail = node.mail.iter().any(|mail| !mail.is_empty());
                mail || !node.dirty.is_empty() || !node.unread.is_empty()
            }) {
                for at in 0..NODES {
                    self.tell(at, 0);
                    self.read(at, 0, None);
                    for from in 0..NODES {
                        self.deliver(at, from);
                    }
                }
                self.settle()?;
            }
            self.now += 20_000;
            self.settle()?;
        }
        Ok(())
    }

    /// All nodes show what is.
    fn agrees(&self) -> Result<(), TestCaseError> {
        for room in (0..ROOMS).map(room) {
            let mut truth: BTreeMap<String, usize> = BTreeMap::new();
            for (_, user, rooms) in self.nodes.iter().flat_map(|node| &node.sessions) {
                if rooms.contains(&room) {
                    *truth.entry(user.to_string()).or_default() += 1;
                }
            }
            let mut first: Option<Vec<Shown>> = None;
            for node in self.nodes.iter().filter(|node| node.follows.contains(&room)) {
                let (members, count) = node.roster.members(&room);
                prop_assert_eq!(count, truth.len());
                let list: Vec<Shown> = members.iter().map(shown).collect();
                if count <= self.limit {
                    let sessions = list.iter().map(|it| (it.0.clone(), it.3)).collect();
                    prop_assert_eq!(&truth, &sessions);
                }
                let first = first.get_or_insert_with(|| list.clone());
                prop_assert_eq!(&*first, &list);
            }
        }
        for user in (0..USERS).map(user) {
            let mut sessions = self.nodes.iter().flat_map(|node| &node.sessions);
            let there = sessions.any(|(_, of, _)| *of == user);
            let knowing =
                self.nodes.iter().filter(|it| it.follows.contains(&RoomName::inbox(&user)));
            let how: BTreeSet<_> =
                knowing.map(|it| format!("{:?}", it.roster.availability(&user))).collect();
            prop_assert!(how.len() <= 1, "{user} is {how:?}");
            prop_assert!(how.iter().all(|how| (how != "Offline") == there), "{user} is {how:?}");
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn nodes_agree_once_all_is_told(
        limit in 1usize..5,
        steps in prop::collection::vec((0u8..17, 0..NODES, 0usize..12, 0usize..12, 0u64..900), 20..300),
    ) {
        let mut net = Net::new(limit);
        for (kind, at, pick, other, later) in steps {
            net.now += later;
            net.step(kind, at, pick, other);
            net.settle()?;
        }
        net.come_to_rest()?;
        net.agrees()?;

        // The last that is said holds everywhere, whatever the clocks, and also
        // when the session that said it is gone.
        let mut spoke = BTreeSet::new();
        for at in 0..NODES {
            spoke.extend(net.nodes[at].sessions.first().map(|(_, user, _)| user.clone()));
            net.step(7, at, 0, 2);
        }
        net.settle()?;
        for _ in 0..2 {
            net.come_to_rest()?;
            net.agrees()?;
            for node in &net.nodes {
                for (_, user, _) in node.sessions.iter().filter(|it| spoke.contains(&it.1)) {
                    prop_assert_eq!(node.roster.availability(user), Availability::Busy);
                }
            }
            for at in 0..NODES {
                net.step(6, at, 0, 0);
            }
            net.settle()?;
        }

        // And all leave.
        for at in 0..NODES {
            while !net.nodes[at].sessions.is_empty() {
                net.step(6, at, 0, 0);
            }
        }
        net.settle()?;
        net.come_to_rest()?;
        prop_assert!(net.store.is_empty());
        for node in &net.nodes {
            let Roster { links, people, places, connected_elsewhere, departures, .. } = &node.roster;
            prop_assert!(links.is_empty() && people.is_empty() && places.is_empty());
            prop_assert!(connected_elsewhere.is_empty() && departures.is_empty());
            prop_assert!(node.roster.doubts.is_empty());
            prop_assert_eq!(node.follows.len(), 1);
        }
    }
}

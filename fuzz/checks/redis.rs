//! What nodes read out of Redis, whatever it is, is understood or not: what is
//! understood can be said again, is understood as the same then, and has about
//! the size of what came. An entry of a roll can be counted and shown with others.
//!
//! The first byte is the kind of what follows, as `reread` has it.

use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use rookery::{
    broker::redis::reread,
    cluster::{Entry, Roll},
    config::Settings,
    model::{LifeId, LinkId, Profile, RoomName, UserId, WorkerId},
    presence::Roster,
};

/// How many times the size of what came it may have, and what is added by fields
/// that may be left out. A large number is written out.
const GROWTH: (usize, usize) = (8, 512);

static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

pub fn check(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let Some(again) = reread(kind, bytes) else { return };
    assert!(again.len() <= GROWTH.0 * bytes.len() + GROWTH.1, "{} bytes", again.len());
    let third = reread(kind, &again).expect("what a node says is understood");
    // The last digit of a fraction may be another.
    if !matches!(kind, b'n' | b'w') {
        assert_eq!(third, again);
    }
    if kind == b'r' {
        let entry: Entry = serde_json::from_slice(bytes).expect("it was read before");
        show(&entry);
    }
}

/// Presence takes the entry in, of several nodes, and lets it go again.
fn show(entry: &Entry) {
    let mut roster = Roster::new(&SETTINGS.presence, &SETTINGS.rooms).with_others();
    let (room, user) = (RoomName::named("lobby"), UserId::named("ada"));
    let profile = Arc::new(Profile { user: user.clone(), name: None, meta: None });
    let link = LinkId::next();
    roster.connect(link, WorkerId::next(), profile, 0);
    roster.track(link, &room, 0).expect("an empty room has place");
    let lives = ["a.1", "b.2"].map(LifeId::named);
    let inbox = RoomName::inbox(&user);
    for life in &lives {
        roster.hear(&room, life, vec![(user.clone(), Some(entry.clone()))]);
        roster.hear(&inbox, life, vec![(user.clone(), Some(entry.clone()))]);
    }
    let entries = || lives.clone().map(|life| (life, user.clone(), entry.clone())).to_vec();
    let (members, count) = roster.rolled(&room, Roll { entries: entries(), whole: true });
    assert_eq!((members.len(), count), (1, 1));
    assert_eq!(members[0].sessions, 1 + 2 * entry.sessions);
    for room in [&room, &inbox] {
        roster.roll(room, Roll { entries: Vec::new(), whole: true }, Instant::now());
    }
    roster.take_effects();
}

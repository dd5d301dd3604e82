//! Plain values every other module speaks in. This module sees no other.

mod call;
mod changes;
mod farewell;
mod grants;
mod happening;
mod ids;
mod member;
mod names;
mod pattern;
mod position;
mod problem;
mod publication;
mod state;

pub use call::{CALL_ID, CallId};
pub use changes::{Change, PresenceChanges};
pub use farewell::Farewell;
pub use grants::{Action, Grants};
pub use happening::{Happening, Said, Subject, Transport, What};
pub use ids::{LinkId, WorkerId};
pub use member::{Availability, META_BYTES, Member, Naming, PresenceDiff, Profile, Status};
pub use names::{LifeId, NameError, RoomName, SessionId, UserId};
pub use pattern::{Pattern, PatternError};
pub use position::{Epoch, Position, Seq};
pub use problem::{Code, Current, Problem};
pub use publication::{Author, Body, Draft, Payload, Publication, Transient};
pub use state::StateEntry;

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use ahash::RandomState;

/// A point in time as clients see it: milliseconds since the Unix epoch.
pub type Timestamp = u64;

/// The environment variable by which tests give a process a clock that is wrong, by so many
/// milliseconds. Not for operators.
const CLOCK_OFFSET: &str = "ROOKERY_TEST_CLOCK_OFFSET_MS";

/// The wall clock, in milliseconds since the Unix epoch.
pub fn wall_clock() -> Timestamp {
    static OFFSET_MS: LazyLock<i64> = LazyLock::new(|| {
        let offset = std::env::var(CLOCK_OFFSET).ok().and_then(|offset| offset.parse().ok());
        offset.unwrap_or_default()
    });
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        .saturating_add_signed(*OFFSET_MS)
}

/// Text of at most this many characters is accepted as a name of a user or a room.
pub const NAME_CHARACTERS: usize = 128;

/// Random bits. The operating system's generator does not fail on the systems
/// this server runs on; if it ever did, unpredictable ids could not be had and
/// going on would be worse than stopping the task.
#[expect(clippy::expect_used, reason = "see above")]
fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}

/// A random number that nobody can guess.
pub(crate) fn random_u64() -> u64 {
    u64::from_ne_bytes(random())
}

/// The same with twice as many bits.
fn random_u128() -> u128 {
    u128::from_ne_bytes(random())
}

/// A number that no other call gives, on no node, as far as 64 bits go. It is no
/// secret. Some are drawn so often that asking the operating system each time would
/// cost more than the rest: a count is hashed under a random key.
pub(crate) fn unique_u64() -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(|| {
        RandomState::with_seeds(random_u64(), random_u64(), random_u64(), random_u64())
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

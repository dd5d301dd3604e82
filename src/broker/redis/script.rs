//! The scripts, each a file in `lua/` behind the functions it shares with others.

use std::sync::LazyLock;

use redis::{Arg, Cmd, Script as Hashed, ToRedisArgs, cmd};

/// About what a call of the longest script takes, a publish: it is made for every
/// message, and is to be written without being moved.
const ARGUMENTS: usize = 32;
const BYTES: usize = 1024;

/// What runs as one step in Redis.
pub(super) struct Script {
    source: String,
    hash: String,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($file:literal)+;)*) => {
        $($(#[$doc])*
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(&[$(include_str!(concat!("lua/", $file))),+]));)*
    };
}

scripts! {
    /// Appends to a log.
    PUBLISH = "room.lua" "hooks.lua" "publish.lua";
    /// Where a log ends.
    TOUCH = "room.lua" "touch.lua";
    /// Log and state.
    SNAPSHOT = "room.lua" "snapshot.lua";
    /// A part of a log.
    PAGE = "room.lua" "page.lua";
    /// The state of a room.
    STATE = "room.lua" "state.lua";
    /// What waits for a user.
    INBOX = "room.lua" "inbox.lua";
    /// What a user has seen.
    SEEN = "room.lua" "seen.lua";
    /// Who is in a room by a node's word.
    TELL = "roll.lua" "hooks.lua" "seats.lua" "tell.lua";
    /// How many users are in a room.
    HEADCOUNT = "headcount.lua";
    /// A life is over.
    REAP = "roll.lua" "hooks.lua" "seats.lua" "reap.lua";
    /// A node is alive.
    BEAT = "beat.lua";
    /// A node is not.
    CONDEMN = "condemn.lua";
    /// Something holds for all nodes.
    ORDER = "order.lua";
    /// A node is about to hear orders.
    ATTEND = "attend.lua";
    /// It knows revocations that Redis lost.
    REMEMBER = "remember.lua";
    /// A user opens a connection.
    ADMIT = "admit.lua";
    /// Somebody tries to.
    ATTEMPT = "attempt.lua";
    /// Events that wait for a backend.
    TAKE = "hooks.lua" "take.lua";
    /// It has them.
    TAKEN = "taken.lua";
    /// Events may come to wait.
    EXPECT = "expect.lua";
    /// None do.
    EXPECT_NO_MORE = "expect_no_more.lua";
    /// Who delivers them.
    DELIVERER = "deliverer.lua";
    /// Who does not any more.
    RESIGN = "resign.lua";
}

impl Script {
    fn new(parts: &[&str]) -> Self {
        let source = parts.concat();
        let hash = Hashed::new(&source).get_hash().to_owned();
        Self { source, hash }
    }

    /// A call with these keys; arguments can be added.
    pub(super) fn call(&'static self, keys: impl IntoIterator<Item = String>) -> Call {
        let keys: Vec<String> = keys.into_iter().collect();
        let mut by_hash = Cmd::with_capacity(ARGUMENTS, BYTES);
        by_hash.arg("EVALSHA").arg(&self.hash).arg(keys.len()).arg(keys);
        Call { script: self, by_hash }
    }
}

/// A call of a script.
pub(super) struct Call {
    script: &'static Script,
    by_hash: Cmd,
}

impl Call {
    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.by_hash.arg(argument);
        self
    }

    /// As a command that names the script, which Redis most often knows.
    pub(super) fn by_hash(&self) -> &Cmd {
        &self.by_hash
    }

    /// As a command that brings the script along; Redis knows it from then on.
    pub(super) fn in_full(&self) -> Cmd {
        let mut in_full = cmd("EVAL");
        in_full.arg(&self.script.source);
        for argument in self.by_hash.args_iter().skip(2) {
            if let Arg::Simple(argument) = argument {
                in_full.arg(argument);
            }
        }
        in_full
    }
}

use super::{Command, Event};
use crate::model::{Body, Payload, Problem};

/// Declares the kinds of one direction: each with the `type` that the protocol
/// has for it.
macro_rules! kinds {
    ($(#[$about:meta])* $name:ident { $($kind:ident = $type:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "they are the types of the protocol")]
        pub enum $name { $($kind,)* }

        impl $name {
            /// The `type` of each, in the order of the enum.
            pub const NAMES: &[&str] = &[$($type,)*];
        }
    };
}

kinds! {
    /// What a client's message is, out of a fixed list: for counting.
    CommandKind {
        Join = "join",
        Leave = "leave",
        Chat = "chat",
        Publish = "publish",
        Set = "set",
        Signal = "signal",
        Typing = "typing",
        Direct = "direct",
        Seen = "seen",
        Status = "status",
        Presence = "presence",
        Watch = "watch",
        Unwatch = "unwatch",
        History = "history",
        Refresh = "refresh",
        Ping = "ping",
        Invalid = "invalid",
    }
}

kinds! {
    /// What a message of the server is, out of a fixed list: for counting.
    EventKind {
        Welcome = "welcome",
        Joined = "joined",
        State = "state",
        Left = "left",
        Ack = "ack",
        Chat = "chat",
        Event = "event",
        Set = "set",
        Direct = "direct",
        Signal = "signal",
        Typing = "typing",
        Presence = "presence",
        Members = "members",
        Online = "online",
        History = "history",
        Refreshed = "refreshed",
        Reauthenticate = "reauthenticate",
        Pong = "pong",
        Error = "error",
        Closing = "closing",
    }
}

impl CommandKind {
    /// What a message is that was read; what could not be read is invalid,
    /// whatever it says it is.
    pub fn of(command: &Result<Command, Problem>) -> Self {
        let Ok(command) = command else { return Self::Invalid };
        match command {
            Command::Join { .. } => Self::Join,
            Command::Leave { .. } => Self::Leave,
            Command::Publish { payload: Payload::Text(_), .. } => Self::Chat,
            Command::Publish { payload: Payload::Event { .. }, .. } => Self::Publish,
            Command::Set { .. } => Self::Set,
            Command::Signal { .. } => Self::Signal,
            Command::Typing { .. } => Self::Typing,
            Command::Direct { .. } => Self::Direct,
            Command::Seen { .. } => Self::Seen,
            Command::Status { .. } => Self::Status,
            Command::Presence { .. } => Self::Presence,
            Command::Watch { .. } => Self::Watch,
            Command::Unwatch { .. } => Self::Unwatch,
            Command::History { .. } => Self::History,
            Command::Refresh { .. } => Self::Refresh,
            Command::Ping => Self::Ping,
        }
    }
}

impl EventKind {
    /// What a message is that is about to be encoded.
    pub fn of(event: &Event<'_>) -> Self {
        match event {
            Event::Welcome { .. } => Self::Welcome,
            Event::Joined { .. } => Self::Joined,
            Event::State { .. } => Self::State,
            Event::Left { .. } => Self::Left,
            Event::Ack { .. } => Self::Ack,
            Event::Published { publication, .. } => match &publication.body {
                Body::Message(Payload::Text(_)) => Self::Chat,
                Body::Message(Payload::Event { .. }) => Self::Event,
                Body::Set { .. } => Self::Set,
                Body::Direct { .. } => Self::Direct,
            },
            Event::DirectCopy { .. } => Self::Direct,
            Event::Signal { .. } => Self::Signal,
            Event::Typing { .. } => Self::Typing,
            Event::Presence { .. } => Self::Presence,
            Event::Members { .. } => Self::Members,
            Event::Online { .. } => Self::Online,
            Event::History { .. } => Self::History,
            Event::Refreshed { .. } => Self::Refreshed,
            Event::Reauthenticate { .. } => Self::Reauthenticate,
            Event::Pong { .. } => Self::Pong,
            Event::Error { .. } => Self::Error,
            Event::Closing { .. } => Self::Closing,
        }
    }
}

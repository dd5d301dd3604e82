use std::cell::OnceCell;

use bytes::Bytes;

use super::{frame, sse};
use crate::model::Farewell;

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// JSON in text frames, one message a frame.
    #[default]
    Json,
    /// The same JSON as Server-Sent Events, one message an event. The client
    /// says what it has to say elsewhere.
    Events,
}

impl Protocol {
    /// What is sent now and then to a client to whom nothing else is.
    pub fn heartbeat(self) -> Bytes {
        match self {
            Self::Json => frame::ping_frame(),
            Self::Events => sse::comment(),
        }
    }

    /// Whether a living client answers a [`heartbeat`](Self::heartbeat).
    pub fn is_answered(self) -> bool {
        match self {
            Self::Json => true,
            Self::Events => false,
        }
    }

    /// The last thing a client is told: why its connection ends.
    pub fn farewell(self, farewell: Farewell) -> Bytes {
        match self {
            Self::Json => frame::close_frame(farewell),
            Self::Events => sse::farewell(farewell),
        }
    }

    /// What to speak with a client that offers these subprotocols, and the name
    /// to answer: the first that is known. Where none is, the connection speaks
    /// JSON and nothing is answered. An offer may be a name or a list of them
    /// with commas, so that header lines can be given as they are.
    pub fn negotiate<'a>(offers: impl Iterator<Item = &'a str>) -> (Self, Option<&'static str>) {
        offers
            .flat_map(|names| names.split(','))
            .find_map(|name| match name.trim() {
                "rookery.v1" => Some((Self::Json, Some("rookery.v1"))),
                _ => None,
            })
            .unwrap_or_default()
    }
}

/// A value for each protocol, made when it is first asked for: what is said to
/// many is encoded once for each protocol that has listeners, and for no other.
#[derive(Debug)]
pub struct PerProtocol<T> {
    json: OnceCell<T>,
    events: OnceCell<T>,
}

impl<T> Default for PerProtocol<T> {
    fn default() -> Self {
        Self { json: OnceCell::new(), events: OnceCell::new() }
    }
}

impl<T> PerProtocol<T> {
    /// The value for this protocol.
    #[inline]
    pub fn get(&self, protocol: Protocol, make: impl FnOnce(Protocol) -> T) -> &T {
        let cell = match protocol {
            Protocol::Json => &self.json,
            Protocol::Events => &self.events,
        };
        cell.get_or_init(|| make(protocol))
    }

    /// Those that were made.
    pub fn made(&self) -> impl Iterator<Item = &T> {
        self.json.get().into_iter().chain(self.events.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_name_is_answered() {
        let known = (Protocol::Json, Some("rookery.v1"));
        let none = (Protocol::Json, None);
        for (offers, expected) in [
            (&[][..], none),
            (&["chat", "rookery.v2", "ROOKERY.V1", ""], none),
            (&["rookery.v1"], known),
            (&["bearer.abc", "rookery.v1"], known),
            (&["bearer.abc,  rookery.v1 ,x"], known),
        ] {
            assert_eq!(Protocol::negotiate(offers.iter().copied()), expected, "{offers:?}");
        }
    }

    #[test]
    fn a_value_is_made_once_for_each_protocol_that_asks() {
        let values = PerProtocol::default();
        for _ in 0..3 {
            assert_eq!(*values.get(Protocol::Events, |it| it), Protocol::Events);
        }
        assert!(values.json.get().is_none());
        assert_eq!(*values.get(Protocol::Json, |it| it), Protocol::Json);
        assert_eq!(*values.get(Protocol::Events, |_| panic!("made already")), Protocol::Events);
    }
}

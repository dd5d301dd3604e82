use actix_http::ws::OpCode;
use bytes::Bytes;

use super::Event;
use crate::{
    model::{Body, Payload, Position, Publication, StateEntry},
    wire::{Place, Protocol, frame::frame_of, sse},
};

/// About what a message takes beside the texts of its writer.
const FRAME: usize = 128;
/// About what a member takes.
const MEMBER: usize = 160;

/// A whole frame with the event, ready to write to any number of clients.
pub fn encode(protocol: Protocol, event: &Event<'_>) -> Bytes {
    match protocol {
        Protocol::Json => frame_of(OpCode::Text, size(event), |buf| json(event, buf)),
        Protocol::Events => sse::event_of(place(event), retry(event), size(event), |buf| {
            json(event, buf);
        }),
    }
}

/// What the event says of the places that its reader's rooms are at.
fn place<'a>(event: &Event<'a>) -> Option<Place<'a>> {
    match *event {
        Event::Joined { room, position, .. } => Some(Place::Begin(room, position)),
        Event::Left { room, .. } => Some(Place::End(room)),
        Event::Published { publication, .. } => match publication.body {
            // Nobody resumes an inbox: what is unseen there comes by itself.
            Body::Direct { .. } => None,
            Body::Message(_) | Body::Set { .. } => {
                let Publication { epoch, seq, room, .. } = publication;
                Some(Place::Reach(room, Position { epoch: *epoch, seq: *seq }))
            }
        },
        _ => None,
    }
}

/// How long a browser is to wait, in milliseconds, before it comes back.
fn retry(event: &Event<'_>) -> Option<u64> {
    match event {
        Event::Closing { after_ms, .. } => Some(*after_ms),
        _ => None,
    }
}

fn json(event: &Event<'_>, buf: &mut Vec<u8>) {
    let start = buf.len();
    // Neither memory nor the server's own types can refuse.
    if let Err(error) = serde_json::to_writer(&mut *buf, event) {
        log::error!("this is a bug: an event could not be encoded: {error}");
        buf.truncate(start);
        buf.extend_from_slice(
            br#"{"type":"error","code":"internal","message":"a message is lost"}"#,
        );
    }
}

/// About how many bytes the event takes. A good guess saves growing the buffer,
/// and a frame that waits in a queue then holds little more than is counted.
fn size(event: &Event<'_>) -> usize {
    match event {
        Event::Published { publication, .. } => publication_size(publication),
        Event::DirectCopy { payload, .. } => FRAME + payload_size(payload),
        Event::Signal { data, .. } => FRAME + data.get().len(),
        Event::Joined { messages, members, state, .. } => {
            let messages: usize = messages.iter().map(|message| publication_size(message)).sum();
            FRAME + messages + state_size(state) + MEMBER * members.len()
        }
        Event::State { state, .. } => FRAME + state_size(state),
        Event::History { messages, .. } => {
            FRAME + messages.iter().map(|message| publication_size(message)).sum::<usize>()
        }
        Event::Welcome { .. } => 4 * FRAME,
        Event::Members { members, .. } => FRAME + MEMBER * members.len(),
        Event::Presence { diff, .. } => {
            FRAME + MEMBER * (diff.joined.len() + diff.updated.len()) + 32 * diff.left.len()
        }
        _ => 2 * FRAME,
    }
}

fn state_size(state: &[StateEntry]) -> usize {
    state.iter().map(|entry| FRAME + entry.value.get().len()).sum()
}

fn publication_size(publication: &Publication) -> usize {
    let body = match &publication.body {
        Body::Message(payload) | Body::Direct { payload, .. } => payload_size(payload),
        Body::Set { key, value } => key.len() + value.as_ref().map_or(4, |value| value.get().len()),
    };
    FRAME + publication.room.as_str().len() + body
}

fn payload_size(payload: &Payload) -> usize {
    match payload {
        Payload::Text(text) => text.len(),
        Payload::Event { event, data } => event.len() + data.get().len(),
    }
}

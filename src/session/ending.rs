//! What is left of a session: a word for metrics, and a line in the log.

use log::Level;

use super::actor::{Member, Session};
use crate::{
    metrics::{LOST, PANIC},
    model::Farewell,
};

/// The line has a target of its own, so that it can be left out by itself, as in
/// `info,rookery::connection=warn`.
const TARGET: &str = "rookery::connection";

impl Session {
    /// Why it ends, in a word for metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self.ending {
            Some(farewell) => farewell.word(),
            None if self.lost => LOST,
            None => PANIC,
        }
    }

    /// One line for each connection that ended, and for no other event of it: what a
    /// node did is to be seen from its log, and a connection that was let in passed
    /// all limits on how often that may be. A defect is more than information.
    pub(super) fn log_end(&self) {
        let Some(Member { identity, joins, .. }) = &self.member else { return };
        let level = match self.ending {
            Some(Farewell::Internal) => Level::Warn,
            None if !self.lost => Level::Warn,
            _ => Level::Info,
        };
        let (session, user) = (self.permit.session(), &identity.profile.user);
        let (call, reason) = (self.call(), self.reason());
        // Nothing was said of a connection that was lost: 1006, as a browser says.
        let code = self.ending.map_or(1006, Farewell::code);
        let lasted = self.began.elapsed();
        let (received, received_bytes) = self.received;
        let (sent, sent_bytes) = self.outbound.given();
        let dropped = self.outbound.dropped();
        log::log!(
            target: TARGET, level,
            session:%, user:%, request:% = call, code, reason,
            duration_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            messages_received = received, bytes_received = received_bytes,
            messages_sent = sent, bytes_sent = sent_bytes,
            messages_dropped = dropped, rooms_joined = *joins;
            "session {session} of {user} ended after {:.1} s: {code} {reason}; request {call}, \
             messages in: {received} ({received_bytes} bytes), out: {sent} ({sent_bytes} bytes), \
             dropped: {dropped}; rooms joined: {joins}",
            lasted.as_secs_f64(),
        );
    }
}

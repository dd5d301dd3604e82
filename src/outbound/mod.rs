//! What waits to be written to one client: three lanes in front of a transport.
//!
//! *control* goes before *reliable*, *reliable* before *latest*. While the
//! transport takes what is written nothing waits at all; the lanes fill when a
//! client reads more slowly than its rooms speak.
//!
//! | lane | bound | at the bound |
//! | --- | --- | --- |
//! | control, notices | [`CONTROL_FRAMES`] | further Pings, Pongs and notices are left out |
//! | reliable, live | `outbound.reliable_messages`, `.reliable_bytes` | the client is closed as a slow consumer |
//! | control and reliable, answers | one request at a time is answered while over `.reliable_bytes` | the client's next request waits |
//! | latest | `outbound.latest_bytes`, one value a key | the client is closed as a slow consumer |
//!
//! Everything here lives on the worker thread of its connection.

mod lanes;
mod queue;
mod state_pages;

pub use lanes::{Bounds, CONTROL_FRAMES, LatestKey, LatestValue};
pub use queue::{Flow, Outbound, Transport};
pub use state_pages::{STATE_PAGE, StatePages};

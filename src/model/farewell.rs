/// Why a connection ends: the close codes and reasons a client may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Farewell {
    /// The client closed.
    Normal,
    /// The node is draining.
    ShuttingDown,
    /// Nothing was heard of the client for too long.
    HeartbeatTimeout,
    /// A newer connection took over the session id.
    Replaced,
    /// The client broke the WebSocket protocol.
    ProtocolError,
    /// A binary frame in a text protocol.
    UnsupportedData,
    /// Text that is not UTF-8.
    NotUtf8,
    /// The token's time is over.
    TokenExpired,
    /// The token was withdrawn.
    TokenRevoked,
    /// A backend disconnected the user.
    Kicked,
    /// The client went on after repeated `rate_limited` errors.
    RateLimited,
    /// A message over the limit.
    TooLarge,
    /// A defect of the server.
    Internal,
    /// The client reads too slowly for what must not be skipped.
    SlowConsumer,
}

impl Farewell {
    /// All there are.
    pub const ALL: [Self; 14] = [
        Self::Normal,
        Self::ShuttingDown,
        Self::HeartbeatTimeout,
        Self::Replaced,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::NotUtf8,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::Kicked,
        Self::RateLimited,
        Self::TooLarge,
        Self::Internal,
        Self::SlowConsumer,
    ];

    /// A word for it in metrics and logs: the reason, and one for that which has
    /// none.
    pub fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            other => other.reason(),
        }
    }

    /// The WebSocket close code (RFC 6455, section 7.4).
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::ShuttingDown | Self::HeartbeatTimeout | Self::Replaced => 1001,
            Self::ProtocolError => 1002,
            Self::UnsupportedData => 1003,
            Self::NotUtf8 => 1007,
            Self::TokenExpired | Self::TokenRevoked | Self::Kicked | Self::RateLimited => 1008,
            Self::TooLarge => 1009,
            Self::Internal => 1011,
            Self::SlowConsumer => 1013,
        }
    }

    /// The reason that stands in the close frame.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::ShuttingDown => "shutting_down",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::Replaced => "replaced",
            Self::ProtocolError => "protocol_error",
            Self::UnsupportedData => "unsupported_data",
            Self::NotUtf8 => "not_utf8",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::Kicked => "kicked",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
            Self::Internal => "internal",
            Self::SlowConsumer => "slow_consumer",
        }
    }
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// JSON in text frames, one message a frame.
    #[default]
    Json,
}

impl Protocol {
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
}

use std::sync::Arc;

use serde_json::value::RawValue;

/// JSON as a client wrote it, but on one line: a message must not be torn where
/// lines are counted, in Server-Sent Events or in a log. In JSON a line break
/// stands between tokens only, where a space does as well.
pub fn one_line(raw: &RawValue) -> Arc<RawValue> {
    const BREAKS: [char; 2] = ['\n', '\r'];
    let kept = || raw.to_owned();
    let one_line = if raw.get().contains(BREAKS) {
        RawValue::from_string(raw.get().replace(BREAKS, " ")).unwrap_or_else(|_| kept())
    } else {
        kept()
    };
    one_line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_become_spaces_and_nothing_else_changes() {
        let broken = "{\"a\":\r\n [1 ,\n\"\\n  \u{2028}\"]}";
        let raw: &RawValue = serde_json::from_str(broken).unwrap();
        assert_eq!(one_line(raw).get(), "{\"a\":   [1 , \"\\n  \u{2028}\"]}");
        let raw: &RawValue = serde_json::from_str("{ \"a\" : 1.50e+3 }").unwrap();
        assert_eq!(one_line(raw).get(), raw.get());
    }
}

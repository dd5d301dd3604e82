use actix_web::HttpRequest;

use super::fields::EXACT;
use crate::http::failure::Failure;

/// The query of a call. What is not known in it is passed over; of what comes
/// twice the last counts.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(request: &HttpRequest) -> Self {
        Self::parse(request.query_string())
    }

    fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_number && *number <= EXACT);
        let wrong = || {
            let shown: String = text.chars().take(40).collect();
            let expected = "a whole number from 0 to 2^53";
            Failure::bad_request(format!("`{name}`: expected {expected}, got {shown:?}"))
        };
        number.map(Some).ok_or_else(wrong)
    }

    /// How many are wanted: at least one, at most `most`, and `otherwise` where
    /// the query does not say.
    pub(super) fn limit(&self, otherwise: usize, most: usize) -> Result<usize, Failure> {
        let wanted = self.count("limit")?.map(|count| usize::try_from(count).unwrap_or(most));
        Ok(wanted.unwrap_or(otherwise).clamp(1, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_and_limits_are_kept() {
        let query = Query::parse("a=7&b=&c=-1&d=1.0&e=9007199254740992&f=9007199254740993&a=8");
        assert_eq!(query.count("a").unwrap(), Some(8), "the last one counts");
        assert_eq!(query.count("z").unwrap(), None);
        assert_eq!(query.count("e").unwrap(), Some(EXACT));
        for bad in ["b", "c", "d", "f"] {
            assert!(query.count(bad).is_err(), "{bad}");
        }
        for (text, limit) in [("", 5), ("limit=0", 1), ("limit=7", 7), ("limit=100", 10)] {
            assert_eq!(Query::parse(text).limit(5, 10).unwrap(), limit, "{text}");
        }
    }
}

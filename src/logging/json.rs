use std::{fmt, time::SystemTime};

use log::{
    Record,
    kv::{self, Key, Value, VisitSource},
};
use serde::{
    Serialize, Serializer,
    ser::{Error, SerializeMap},
};

/// A record as one line of JSON: `time`, `level`, `target` and `message`, and the
/// fields that the record has besides.
pub(super) struct Line<'a> {
    record: &'a Record<'a>,
    time: SystemTime,
}

impl<'a> Line<'a> {
    /// The line of something that is logged now.
    pub(super) fn of(record: &'a Record<'a>) -> Self {
        Self { record, time: SystemTime::now() }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.record;
        let mut map = serializer.serialize_map(None)?;
        let time = humantime::format_rfc3339_millis(self.time);
        map.serialize_entry("time", &format_args!("{time}"))?;
        map.serialize_entry("level", record.level().as_str())?;
        map.serialize_entry("target", record.target())?;
        map.serialize_entry("message", record.args())?;
        record.key_values().visit(&mut Fields(&mut map)).map_err(S::Error::custom)?;
        map.end()
    }
}

/// Writes fields into a map that has begun.
struct Fields<'a, M>(&'a mut M);

impl<'kvs, M: SerializeMap> VisitSource<'kvs> for Fields<'_, M> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let (map, key) = (&mut *self.0, key.as_str());
        let written = if let Some(number) = value.to_u64() {
            map.serialize_entry(key, &number)
        } else if let Some(number) = value.to_i64() {
            map.serialize_entry(key, &number)
        } else if let Some(number) = value.to_f64() {
            map.serialize_entry(key, &number)
        } else if let Some(flag) = value.to_bool() {
            map.serialize_entry(key, &flag)
        } else {
            map.serialize_entry(key, &format_args!("{value}"))
        };
        written.map_err(|_| kv::Error::msg("the field cannot be written"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let fields = [("number", kv::Value::from(7_u64)), ("name", kv::Value::from("a\"\n"))];
        let fields: &[(&str, kv::Value<'_>)] = &fields;
        let mut record = Record::builder();
        record.target("here").level(log::Level::Warn).key_values(&fields);
        let record = record.args(format_args!("two\nlines \"quoted\"\u{7}")).build();
        let text = Line::of(&record).to_string();
        assert_eq!(text.lines().count(), 1);
        let mut line: Value = serde_json::from_str(&text).unwrap();
        let time = line["time"].take();
        assert!(humantime::parse_rfc3339(time.as_str().unwrap()).is_ok(), "{time}");
        let expected = json!({
            "time": null, "level": "WARN", "target": "here",
            "message": "two\nlines \"quoted\"\u{7}", "number": 7, "name": "a\"\n",
        });
        assert_eq!(line, expected);
    }
}

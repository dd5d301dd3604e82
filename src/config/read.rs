//! How one value of the configuration is read: each function accepts one kind
//! of value within its bounds, and says so in words that end the sentence
//! "expected …".

use std::{fmt, marker::PhantomData, net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use jsonwebtoken::Algorithm;
use log::LevelFilter;
use reqwest::Url;
use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Unexpected};

use super::{Listen, MemoryLimit, RedisAddress, Secret};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// An upper bound for counts that have no natural one.
const MANY: u64 = 1_000_000_000;

/// An upper bound for durations: far off, and still safe to add to a clock.
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The shortest period a timer is set to.
const SHORTEST: Duration = Duration::from_millis(10);

/// A whole number, none included.
pub(super) fn count<'de, D: Deserializer<'de>, T: From<usize>>(from: D) -> Result<T, D::Error> {
    number(from, 0, MANY)
}

/// A whole number, none excluded.
pub(super) fn positive<'de, D: Deserializer<'de>, T: From<usize>>(from: D) -> Result<T, D::Error> {
    number(from, 1, MANY)
}

/// A number of threads; 0 leaves it to the machine.
pub(super) fn threads<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    number(from, 0, 1_024)
}

/// A number of rooms that metrics name: each is a series of its own.
pub(super) fn shown_rooms<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    number(from, 0, 1_000)
}

/// How often something may happen in a second.
pub(super) fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    one(from, "a whole number from 1 to 1000000", |written| match written {
        Written::Number(number @ 1..=1_000_000) => u32::try_from(number).ok(),
        _ => None,
    })
}

fn number<'de, D: Deserializer<'de>, T: From<usize>>(
    from: D,
    least: u64,
    most: u64,
) -> Result<T, D::Error> {
    let expected = format!("a whole number from {least} to {most}");
    one(from, &expected, |written| match written {
        Written::Number(number) if (least..=most).contains(&number) => {
            usize::try_from(number).ok().map(T::from)
        }
        _ => None,
    })
}

/// A size, none included.
pub(super) fn bytes<'de, D: Deserializer<'de>, T: From<usize>>(from: D) -> Result<T, D::Error> {
    size(from, 0, GIB)
}

/// The size of something that gathers messages.
pub(super) fn buffer_bytes<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: From<usize>,
{
    size(from, KIB, GIB)
}

/// The size of what a whole process holds.
pub(super) fn memory<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    size(from, MIB, 1024 * GIB)
}

/// How much memory is too much.
pub(super) fn memory_limit<'de, D: Deserializer<'de>>(from: D) -> Result<MemoryLimit, D::Error> {
    one(from, "\"auto\", \"off\" or a size such as \"2 GiB\", from 1 MiB", |written| {
        let bytes = match written {
            Written::Text("auto") => return Some(MemoryLimit::Auto),
            Written::Text("off") => return Some(MemoryLimit::Off),
            Written::Text(text) => parse_size(text)?,
            Written::Number(bytes) => bytes,
            Written::Flag(_) => return None,
        };
        (bytes >= MIB).then_some(MemoryLimit::Bytes(bytes))
    })
}

/// A part of a whole.
pub(super) fn percent<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    one(from, "a share such as \"95%\", from 1% to 100%", |written| match written {
        Written::Text(text) => {
            let percent = text.trim().strip_suffix('%')?.parse().ok()?;
            (1..=100).contains(&percent).then_some(percent)
        }
        _ => None,
    })
}

/// The size of one message.
pub(super) fn message_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    size(from, 128, 64 * MIB)
}

/// The size of a token.
pub(super) fn token_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    size(from, 256, 64 * KIB)
}

fn size<'de, D: Deserializer<'de>, T: From<usize>>(
    from: D,
    least: u64,
    most: u64,
) -> Result<T, D::Error> {
    let expected =
        format!("a size such as \"64 KiB\", from {} to {}", shown_size(least), shown_size(most));
    one(from, &expected, |written| {
        let bytes = match written {
            Written::Number(bytes) => bytes,
            Written::Text(text) => parse_size(text)?,
            Written::Flag(_) => return None,
        };
        let bytes = usize::try_from(bytes).ok().filter(|_| (least..=most).contains(&bytes))?;
        Some(T::from(bytes))
    })
}

/// Bytes with or without a unit: `65536`, `64 KiB`, `64KiB`, `100 kB`.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "kib" => KIB,
        "mb" => 1_000_000,
        "mib" => MIB,
        "gb" => 1_000_000_000,
        "gib" => GIB,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn shown_size(bytes: u64) -> String {
    [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")]
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(|| bytes.to_string(), |(unit, name)| format!("{} {name}", bytes / unit))
}

/// A length of time, none included.
pub(super) fn duration<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: From<Duration>,
{
    time(from, "a duration such as \"25s\", up to ten years", Duration::ZERO)
}

/// A length of time that a timer is set to.
pub(super) fn period<'de, D: Deserializer<'de>, T: From<Duration>>(from: D) -> Result<T, D::Error> {
    time(from, "a duration such as \"25s\", from 10ms to ten years", SHORTEST)
}

fn time<'de, D: Deserializer<'de>, T: From<Duration>>(
    from: D,
    expected: &str,
    least: Duration,
) -> Result<T, D::Error> {
    one(from, expected, |written| match written {
        Written::Text(text) => humantime::parse_duration(text.trim())
            .ok()
            .filter(|time| (least..=TEN_YEARS).contains(time))
            .map(T::from),
        _ => None,
    })
}

/// Yes or no.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    one(from, "true or false", |written| match written {
        Written::Flag(flag) => Some(flag),
        _ => None,
    })
}

/// Any text.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    one(from, "text", |written| match written {
        Written::Text(text) => Some(text.to_owned()),
        _ => None,
    })
}

/// An address of Redis; empty text stands for none.
pub(super) fn redis<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RedisAddress>, D::Error> {
    one(from, RedisAddress::FORMS, |written| match written {
        Written::Text("") => Some(None),
        Written::Text(text) => RedisAddress::parse(text).map(Some),
        _ => None,
    })
}

const URL: &str = "an address such as \"https://example.com/hooks\", without user and password";

/// Where HTTP calls go. Errors of calls name the address without its query, but
/// would show a password.
fn parse_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host();
    (fits && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// Where HTTP calls go; empty text stands for nowhere.
pub(super) fn url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    one(from, URL, |written| match written {
        Written::Text("") => Some(None),
        Written::Text(text) => parse_url(text).map(Some),
        _ => None,
    })
}

/// Where HTTP calls go.
pub(super) fn some_url<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    one(from, URL, |written| match written {
        Written::Text(text) => parse_url(text),
        _ => None,
    })
}

/// The name of an endpoint, which stands in metrics and in keys of Redis.
pub(super) fn endpoint_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    one(from, "1 to 32 characters of `a-z 0-9 _ -`", |written| match written {
        Written::Text(text) => {
            let allowed = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte)
            };
            ((1..=32).contains(&text.len()) && text.bytes().all(allowed)).then(|| text.to_owned())
        }
        _ => None,
    })
}

/// What names in Redis begin with. Braces would make a hash tag of a part of it.
pub(super) fn prefix<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    const LONGEST: usize = 64;
    one(from, "1 to 64 printable characters without spaces and braces", |written| match written {
        Written::Text(text) => {
            let allowed = |byte: u8| byte.is_ascii_graphic() && !b"{}".contains(&byte);
            let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(allowed);
            fits.then(|| text.to_owned())
        }
        _ => None,
    })
}

/// A list of texts.
pub(super) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    many(from, "a list of texts", |text| (!text.is_empty()).then(|| text.to_owned()))
}

/// A secret; empty text stands for none.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    text(from).map(|text| (!text.is_empty()).then(|| Secret::new(text)))
}

/// A list of secrets.
pub(super) fn secrets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Secret>, D::Error> {
    many(from, "a list of keys of at least 8 printable characters without spaces", as_api_key)
}

/// A key of a backend.
pub(super) fn api_key<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    one(from, "at least 8 printable characters without spaces", |written| match written {
        Written::Text(text) => as_api_key(text),
        Written::Number(_) | Written::Flag(_) => None,
    })
}

fn as_api_key(text: &str) -> Option<Secret> {
    const SHORTEST: usize = 8;
    let fit = text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    fit.then(|| Secret::new(text))
}

/// What a key of a backend is called.
pub(super) fn key_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    one(from, "1 to 64 printable characters", |written| match written {
        Written::Text(text) => {
            let fit =
                (1..=64).contains(&text.len()) && text.bytes().all(|it| (32..127).contains(&it));
            fit.then(|| text.to_owned())
        }
        Written::Number(_) | Written::Flag(_) => None,
    })
}

/// A file or a folder; empty text stands for none.
pub(super) fn path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    text(from).map(|text| (!text.is_empty()).then(|| PathBuf::from(text)))
}

/// Addresses to listen on.
pub(super) fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Listen>, D::Error> {
    let expected = "an address such as \"127.0.0.1:8080\", \"https://0.0.0.0:8443\" or \
                    \"unix:/run/rookery.sock\", or a list of them";
    let addresses = many(from, expected, |text| text.parse().ok())?;
    if addresses.is_empty() {
        return Err(de::Error::invalid_length(0, &expected));
    }
    Ok(addresses)
}

/// The mode of a file, in octal digits.
pub(super) fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    one(from, "the mode of a file such as \"0660\"", |written| match written {
        Written::Text(text) if text.bytes().all(|digit| digit.is_ascii_digit()) => {
            u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777)
        }
        _ => None,
    })
}

/// Origins as browsers write them, or `*`.
pub(super) fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    many(from, "a list of origins such as \"https://example.com\", or \"*\"", |text| {
        let host = text.split_once("://").map_or("", |(_, host)| host);
        let fit = text == "*" || !host.is_empty() && !host.contains(['/', '?', '#', ' ']);
        fit.then(|| text.to_owned())
    })
}

/// Networks, or single addresses.
pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let expected = "a list of addresses or networks such as \"127.0.0.1\" or \"10.0.0.0/8\"";
    many(from, expected, |text| {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    })
}

/// A node's name; empty text stands for none.
pub(super) fn node_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let expected = "at most 64 characters of `A-Z a-z 0-9 _ - .`";
    one(from, expected, |written| match written {
        Written::Text("") => Some(None),
        Written::Text(text) => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            (text.len() <= 64 && text.bytes().all(allowed)).then(|| Some(text.to_owned()))
        }
        _ => None,
    })
}

/// Names of signature algorithms.
pub(super) fn algorithms<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Algorithm>, D::Error> {
    let expected = "a list out of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
                    ES256, ES384, EdDSA";
    let algorithms = many(from, expected, |text| text.parse().ok())?;
    if algorithms.is_empty() {
        return Err(de::Error::invalid_length(0, &expected));
    }
    Ok(algorithms)
}

/// Levels of logging, for all or by module.
pub(super) fn log_filter<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let expected = "off, error, warn, info, debug or trace, or such as \"info,rookery=debug\"";
    let fit = |part: &str| {
        let level = part.split_once('=').map_or(part, |(_, level)| level);
        level.trim().parse::<LevelFilter>().is_ok()
    };
    one(from, expected, |written| match written {
        Written::Text(text) => text.split(',').all(fit).then(|| text.to_owned()),
        _ => None,
    })
}

/// A value as the configuration has it.
enum Written<'a> {
    Number(u64),
    Text(&'a str),
    Flag(bool),
}

/// Reads one value with `parse`, which answers none to what was not expected.
fn one<'de, D, T, P>(from: D, expected: &str, parse: P) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    P: Fn(Written<'_>) -> Option<T>,
{
    Reader { expected, parse, value: PhantomData }.deserialize(from)
}

/// Reads a list of texts with `parse`; text alone is a list of one.
fn many<'de, D, T, P>(from: D, expected: &str, parse: P) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    P: Fn(&str) -> Option<T>,
{
    let parse = |written: Written<'_>| match written {
        Written::Text(text) => parse(text),
        _ => None,
    };
    from.deserialize_any(List(Reader { expected, parse: &parse, value: PhantomData }))
}

struct Reader<'a, T, P> {
    expected: &'a str,
    parse: P,
    value: PhantomData<T>,
}

impl<'de, T, P: Fn(Written<'_>) -> Option<T>> DeserializeSeed<'de> for Reader<'_, T, P> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        from.deserialize_any(self)
    }
}

impl<T, P: Fn(Written<'_>) -> Option<T>> de::Visitor<'_> for Reader<'_, T, P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<T, E> {
        (self.parse)(Written::Flag(flag))
            .ok_or_else(|| E::invalid_type(Unexpected::Bool(flag), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        let parsed =
            u64::try_from(number).ok().and_then(|number| (self.parse)(Written::Number(number)));
        parsed.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.parse)(Written::Number(number))
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(Written::Text(text))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

struct List<'a, T, P>(Reader<'a, T, P>);

impl<'de, T, P: Fn(Written<'_>) -> Option<T>> de::Visitor<'de> for List<'_, T, &P> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        self.0.visit_str(text).map(|value| vec![value])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        let Reader { expected, parse, .. } = self.0;
        while let Some(value) =
            seq.next_element_seed(Reader { expected, parse, value: PhantomData })?
        {
            values.push(value);
        }
        Ok(values)
    }
}

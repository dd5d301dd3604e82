//! What led to a violation, short enough to be read.

use std::fmt::Write;

use super::{
    judge::Violation,
    record::{At, Event, History, Outage},
};

/// How many lines are shown before it and after it.
const BEFORE: usize = 30;
const AFTER: usize = 6;

/// The events around a violation: those of its room, of its client if it is one
/// client's, else what all wrote and how they joined; and the faults.
pub fn trace(history: &History, violation: &Violation) -> String {
    let mut lines: Vec<(At, String)> = history.outages.iter().flat_map(outage_lines).collect();
    for (number, client) in history.clients.iter().enumerate() {
        if violation.client.is_some_and(|only| only != number) {
            continue;
        }
        for (at, event) in &client.events {
            let elsewhere = event.room().is_some_and(|room| Some(room) != violation.room);
            let noise = violation.client.is_none() && matches!(event, Event::Live { .. });
            if !elsewhere && !noise {
                lines.push((*at, format!("c{number} {}", line(number, event))));
            }
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let middle = match violation.at {
        Some(at) => lines.partition_point(|(it, _)| *it <= at),
        None => lines.len(),
    };
    let shown = middle.saturating_sub(BEFORE)..(middle + AFTER).min(lines.len());
    let mut text = format!("{violation}\n");
    for (number, (at, line)) in lines[shown.clone()].iter().enumerate() {
        let mark = if shown.start + number + 1 == middle { '>' } else { ' ' };
        let _ = writeln!(text, "{mark} {:8.3} {line}", at.as_secs_f64());
    }
    text
}

fn outage_lines(outage: &Outage) -> [(At, String); 2] {
    let place = match outage.node {
        Some(node) => format!("node {node}"),
        None => "Redis".to_owned(),
    };
    [
        (outage.begins, format!("   ## {place}: {}", outage.what)),
        (outage.ends, format!("   ## {place} is back")),
    ]
}

fn line(client: usize, event: &Event) -> String {
    match event {
        Event::Connected { node, seen } => {
            format!("connected to node {node}, inbox seen to {seen}")
        }
        Event::Disconnected { how } => format!("disconnected: {how}"),
        Event::Joined { asked, joined, .. } => {
            let asked = match asked {
                None => "unasked".to_owned(),
                Some(asked) => match (&asked.since, asked.history) {
                    (Some(since), _) => format!("since {since}"),
                    (None, Some(history)) => format!("history {history}"),
                    (None, None) => "anew".to_owned(),
                },
            };
            let (recovered, count) = (joined.recovered, joined.messages.len());
            format!("joined {asked}: at {}, recovered {recovered}, {count} messages", joined.end)
        }
        Event::Left { .. } => "left".to_owned(),
        Event::Live { seq, entry, .. } => format!("live {seq} {entry}"),
        Event::Sent { write, .. } => format!("sends c{client}/{write}"),
        Event::Acked { write, at, duplicate, .. } => {
            let duplicate = if *duplicate { ", a duplicate" } else { "" };
            format!("c{client}/{write} is acknowledged at {at}{duplicate}")
        }
        Event::Conflict { write, current, .. } => {
            format!("c{client}/{write} conflicts with {current:?}")
        }
        Event::Unavailable { what, .. } => format!("{what} is unavailable"),
        Event::DirectSent { direct } => format!("sends direct c{client}/{direct}"),
        Event::DirectAcked { direct, at, duplicate } => {
            let duplicate = if *duplicate { ", a duplicate" } else { "" };
            format!("direct c{client}/{direct} is acknowledged at {at}{duplicate}")
        }
        Event::Direct { from, to, direct, at: Some(at) } => {
            format!("direct {direct} at {at} from {from} to {to}")
        }
        Event::Direct { from, to, direct, at: None } => {
            format!("copy of direct {direct} from {from} to {to}")
        }
        Event::Seen { at } => format!("has seen its inbox to {at}"),
        Event::SignalSent { signal } => format!("sends signal c{client}/{signal}"),
        Event::SignalAcked { signal } => format!("signal c{client}/{signal} is acknowledged"),
        Event::Signal { user, signal, .. } => format!("signal {signal} of {user}"),
        Event::Typing { user, active, .. } => format!("typing of {user}: {active}"),
        Event::Strange { what, .. } => format!("STRANGE {what}"),
    }
}

//! Tables for people, JSON for programs.

use std::{fs, io::Write};

use serde_json::{Value, json};

use crate::{arguments::Arguments, cores::Cores};

/// What one measurement gave, in the order of the table.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Debug)]
struct Figure {
    name: &'static str,
    value: f64,
    /// Whether it is shown as a ratio to the bare loop as well.
    compared: bool,
}

impl Figures {
    /// A figure of interest as a ratio to the bare loop's.
    pub(crate) fn compared(&mut self, name: &'static str, value: f64) {
        self.0.push(Figure { name, value, compared: true });
    }

    /// A figure of its own.
    pub(crate) fn plain(&mut self, name: &'static str, value: f64) {
        self.0.push(Figure { name, value, compared: false });
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}

/// All measurements of a scenario.
pub(crate) struct Report {
    name: String,
    title: String,
    rows: Vec<Row>,
    /// The target of the row that others are compared with.
    floor: Option<String>,
}

struct Row {
    target: String,
    rounds: Vec<Figures>,
}

impl Report {
    /// Without measurements; `floor` is the target that others are compared with.
    pub(crate) fn new(name: &str, title: String, floor: Option<String>) -> Self {
        Self { name: name.to_owned(), title, rows: Vec::new(), floor }
    }

    /// A measurement of the target. The rows stand in the order of their first one.
    pub(crate) fn add(&mut self, target: &str, figures: Figures) {
        match self.rows.iter_mut().find(|row| row.target == target) {
            Some(row) => row.rounds.push(figures),
            None => self.rows.push(Row { target: target.to_owned(), rounds: vec![figures] }),
        }
    }

    /// Prints the medians as a table.
    pub(crate) fn print(&self, to_stderr: bool) {
        let mut lines = vec![String::new(), format!("{}", self.title)];
        let mut table: Vec<Vec<String>> = vec![vec![self.repeats()]];
        table.extend(self.rows.iter().map(|row| vec![row.target.clone()]));
        for (name, compared) in self.columns() {
            if let Some(heads) = table.first_mut() {
                heads.push(name.to_owned());
            }
            for (row, line) in self.rows.iter().zip(table.iter_mut().skip(1)) {
                let value = row.median(name).map_or_else(|| "-".to_owned(), written);
                let ratio = self.ratio(row, name).filter(|_| compared);
                line.push(match ratio {
                    Some(ratio) => format!("{value} ({ratio:.2}×)"),
                    None => value,
                });
            }
        }
        let mut widths: Vec<usize> = Vec::new();
        for line in &table {
            widths.resize(widths.len().max(line.len()), 0);
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for line in &table {
            let cells = line.iter().zip(&widths).enumerate().map(|(number, (cell, width))| {
                if number == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            lines.push(format!("  {}", cells.collect::<Vec<_>>().join("  ")));
        }
        say(to_stderr, &lines.join("\n"));
    }

    fn repeats(&self) -> String {
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        if rounds == 1 { String::new() } else { format!("medians of {rounds}") }
    }

    /// The names of all figures, and whether they are compared.
    fn columns(&self) -> Vec<(&'static str, bool)> {
        let mut columns: Vec<(&'static str, bool)> = Vec::new();
        for figures in self.rows.iter().filter_map(|row| row.rounds.first()) {
            for figure in &figures.0 {
                if !columns.iter().any(|(name, _)| *name == figure.name) {
                    columns.push((figure.name, figure.compared));
                }
            }
        }
        columns
    }

    /// The median of the ratios, each within its own round.
    fn ratio(&self, row: &Row, name: &str) -> Option<f64> {
        let floor = self.rows.iter().find(|it| Some(&it.target) == self.floor.as_ref())?;
        if row.target == floor.target {
            return None;
        }
        let ratio = |(own, floor): (&Figures, &Figures)| {
            let floor = floor.get(name).filter(|floor| *floor > 0.0)?;
            Some(own.get(name)? / floor)
        };
        median(row.rounds.iter().zip(&floor.rounds).filter_map(ratio).collect())
    }

    fn to_json(&self) -> Value {
        let targets = self.rows.iter().map(|row| {
            let figures = self.columns().into_iter().filter_map(|(name, compared)| {
                let rounds: Vec<f64> = row.rounds.iter().filter_map(|it| it.get(name)).collect();
                let mut figure = json!({ "median": row.median(name)?, "rounds": rounds });
                if let (Some(ratio), true, Some(fields)) =
                    (self.ratio(row, name), compared, figure.as_object_mut())
                {
                    fields.insert("ratio".to_owned(), json!(ratio));
                }
                Some((name.to_owned(), figure))
            });
            json!({ "target": row.target, "figures": figures.collect::<serde_json::Map<_, _>>() })
        });
        json!({
            "scenario": self.name,
            "title": self.title,
            "targets": targets.collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn median(&self, name: &str) -> Option<f64> {
        median(self.rounds.iter().filter_map(|figures| figures.get(name)).collect())
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// To three digits.
fn written(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// What the figures are to be read with.
pub(crate) fn print_machine(cores: &Cores, arguments: &Arguments) {
    let machine = format!(
        "{}; servers on {:?}, generator on {}; load {}",
        machine(),
        cores.servers,
        cores.generator,
        load()
    );
    say(arguments.json, &machine);
}

/// Prints all figures as JSON.
pub(crate) fn print_json(
    cores: &Cores,
    arguments: &Arguments,
    reports: &[Report],
) -> anyhow::Result<()> {
    let all = json!({
        "machine": machine(),
        "load": load(),
        "server_cores": cores.servers,
        "generator_core": cores.generator,
        "workers": arguments.workers,
        "scenarios": reports.iter().map(Report::to_json).collect::<Vec<_>>(),
    });
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &all)?;
    Ok(writeln!(out)?)
}

/// Processor and kernel.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names: Vec<&str> = info
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name)
        .collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} × {}, Linux {}",
        names.len(),
        names.first().unwrap_or(&"unknown processor"),
        kernel.trim()
    )
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

/// Prints a text for people.
pub(crate) fn say(to_stderr: bool, text: &str) {
    // Nobody is left to be told where this fails.
    let _ = if to_stderr {
        writeln!(std::io::stderr(), "{text}")
    } else {
        writeln!(std::io::stdout(), "{text}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}

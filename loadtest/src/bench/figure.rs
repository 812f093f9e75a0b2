//! One figure, what it should be, and how it is shown.

use serde::Serialize;
use std::fmt;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
    /// It is there to compare others with.
    None,
}

impl Goal {
    /// Whether `value` is as it should be; nothing if any value is.
    pub fn met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(value <= most),
            Self::AtLeast(least) => Some(value >= least),
            Self::None => None,
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::AtMost(number) | Self::AtLeast(number) => Some(number),
            Self::None => None,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {}", Rounded(*most)),
            Self::AtLeast(least) => write!(f, "≥ {}", Rounded(*least)),
            Self::None => f.write_str("–"),
        }
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The median of the runs.
    pub value: f64,
    /// Unit of the value.
    pub unit: &'static str,
    /// What it should be.
    pub goal: Goal,
    /// How often it was measured.
    pub runs: usize,
    /// What a reader must know to understand it, among it least and largest run.
    pub detail: String,
}

impl Figure {
    /// The median of `runs`, which must not be empty to mean anything.
    pub fn median(name: impl Into<String>, unit: &'static str, goal: Goal, runs: &[f64]) -> Self {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let middle = sorted.len() / 2;
        let value = if sorted.len().is_multiple_of(2) {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        } else {
            at(middle)
        };
        let detail = match sorted.len() {
            0 | 1 => String::new(),
            more => format!("{} to {}", Rounded(at(0)), Rounded(at(more - 1))),
        };
        Self { name: name.into(), value, unit, goal, runs: runs.len(), detail }
    }

    /// The same with more for the reader.
    #[must_use]
    pub fn with(mut self, detail: impl fmt::Display) -> Self {
        let between = if self.detail.is_empty() { "" } else { "; " };
        self.detail = format!("{}{between}{detail}", self.detail);
        self
    }

    /// As a line of a result file.
    pub fn line<'a>(&'a self, machine: &'a str) -> Line<'a> {
        Line {
            figure: &self.name,
            value: self.value,
            unit: self.unit,
            goal: self.goal.number(),
            met: self.goal.met(self.value),
            runs: self.runs,
            machine,
            detail: &self.detail,
        }
    }
}

/// A figure in a result file.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'a> {
    figure: &'a str,
    value: f64,
    unit: &'a str,
    goal: Option<f64>,
    met: Option<bool>,
    runs: usize,
    machine: &'a str,
    detail: &'a str,
}

/// A number with three digits that mean something.
#[derive(Clone, Copy, Debug)]
pub struct Rounded(pub f64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size >= 1e6 {
            write!(f, "{:.2} M", self.0 / 1e6)
        } else if size >= 1e4 {
            write!(f, "{:.1} k", self.0 / 1e3)
        } else if size >= 100.0 {
            write!(f, "{:.0}", self.0)
        } else if size >= 10.0 {
            write!(f, "{:.1}", self.0)
        } else {
            write!(f, "{:.2}", self.0)
        }
    }
}

/// Figures as a table for people.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a [Figure]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
        for figure in self.0 {
            let value = format!("{} {}", Rounded(figure.value), figure.unit);
            let met = match figure.goal.met(figure.value) {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            };
            let goal = figure.goal.to_string();
            let row = format!("{:<name$}  {value:>16}  {goal:>9}  {met:<6}", figure.name);
            writeln!(f, "{row}  {}", figure.detail)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_between_the_least_and_the_largest() {
        let odd = Figure::median("x", "us", Goal::AtMost(3.0), &[9.0, 1.0, 2.0]);
        assert!((odd.value - 2.0).abs() < 1e-9);
        assert_eq!((odd.runs, odd.detail.as_str()), (3, "1.00 to 9.00"));
        let even = Figure::median("x", "us", Goal::AtMost(3.0), &[4.0, 1.0, 3.0, 9.0]);
        assert!((even.value - 3.5).abs() < 1e-9);
    }

    #[test]
    fn a_line_has_what_a_program_needs() {
        let figure = Figure::median("share", "us", Goal::AtLeast(3.0), &[2.0]).with("alone");
        let line = serde_json::to_string(&figure.line("here")).unwrap();
        assert_eq!(
            line,
            r#"{"figure":"share","value":2.0,"unit":"us","goal":3.0,"met":false,"runs":1,"machine":"here","detail":"alone"}"#
        );
    }

    #[test]
    fn a_table_tells_what_was_missed() {
        let missed = Figure::median("share", "us", Goal::AtMost(13.0), &[20.0]);
        let other = Figure::median("limit", "shares/s", Goal::None, &[123_456.0]);
        let table = Table(&[missed, other]).to_string();
        let lines: Vec<_> = table.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            ["share           20.0 us     ≤ 13.0  MISSED", "limit  123.5 k shares/s          –"]
        );
    }
}

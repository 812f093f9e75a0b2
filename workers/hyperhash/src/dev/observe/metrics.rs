//! Reads a metrics page (`OpenMetrics` text).

use std::collections::BTreeMap;

/// One page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page(Vec<Line>);

#[derive(Clone, Debug, PartialEq)]
struct Line {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Counts of observations up to and including each bound, bounds ascending.
pub type Buckets = Vec<(f64, u64)>;

/// Which lines of a name are meant: those with this value of this label; all, without.
pub type Where<'a> = Option<(&'a str, &'a str)>;

impl Page {
    /// Reads a page; lines of another form are passed over.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect())
    }

    /// The sum over all lines of `name`, or `None` if there is none.
    pub fn sum(&self, name: &str, which: Where<'_>) -> Option<u64> {
        let mut lines = self.lines(name, which).peekable();
        lines.peek()?;
        Some(lines.map(|line| whole(line.value)).sum())
    }

    /// The value of each line of `name` by the value of its label `label`.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for line in self.lines(name, None) {
            if let Some(value) = line.labels.get(label) {
                let sum: &mut u64 = sums.entry(value.clone()).or_default();
                *sum = sum.saturating_add(whole(line.value));
            }
        }
        sums
    }

    /// The histogram `name`, summed over its lines.
    pub fn histogram(&self, name: &str, which: Where<'_>) -> Buckets {
        let mut buckets = Buckets::new();
        for line in self.lines(&format!("{name}_bucket"), which) {
            let Some(bound) = line.labels.get("le").and_then(|bound| bound.parse::<f64>().ok())
            else {
                continue;
            };
            // Bounds are printed from the same numbers on every line, so they are the same bits.
            match buckets.iter_mut().find(|(other, _)| other.total_cmp(&bound).is_eq()) {
                Some((_, count)) => *count = count.saturating_add(whole(line.value)),
                None => buckets.push((bound, whole(line.value))),
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        buckets
    }

    fn lines<'a>(&'a self, name: &str, which: Where<'a>) -> impl Iterator<Item = &'a Line> {
        self.0.iter().filter(move |line| {
            let meant = |(label, value): (&str, &str)| {
                line.labels.get(label).is_some_and(|found| found == value)
            };
            line.name == name && which.is_none_or(meant)
        })
    }
}

fn line(text: &str) -> Option<Line> {
    let (series, value) = match text.split_once('}') {
        Some((series, rest)) => (series, rest),
        None => text.split_once(' ')?,
    };
    let value = value.split_ascii_whitespace().next()?.parse().ok()?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, parse_labels(labels)?),
        None => (series, BTreeMap::new()),
    };
    Some(Line { name: name.to_owned(), labels, value })
}

/// Label values of ours hold no quotes and no commas.
fn parse_labels(text: &str) -> Option<BTreeMap<String, String>> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), value.strip_prefix('"')?.strip_suffix('"')?.to_owned()))
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and gauges of ours are whole, and `as` saturates"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP shares_rejected Shares turned away.
# TYPE shares_rejected gauge
shares_rejected{reason=\"stale-share\"} 3
shares_rejected{reason=\"duplicate-share\"} 4
shares_valid 17
lag{stream=\"SHARES\"} 5
latency_ms_bucket{le=\"1.0\",stream=\"SHARES\"} 2
latency_ms_bucket{le=\"5.0\",stream=\"SHARES\"} 6
latency_ms_bucket{le=\"+Inf\",stream=\"SHARES\"} 7
latency_ms_bucket{le=\"1.0\",stream=\"BLOCKS\"} 1
latency_ms_bucket{le=\"5.0\",stream=\"BLOCKS\"} 1
latency_ms_bucket{le=\"+Inf\",stream=\"BLOCKS\"} 1
nonsense
# EOF
";

    #[test]
    fn sums_and_splits() {
        let page = Page::parse(PAGE);
        assert_eq!(page.sum("shares_valid", None), Some(17));
        assert_eq!(page.sum("shares_rejected", None), Some(7));
        assert_eq!(page.sum("lag", Some(("stream", "SHARES"))), Some(5));
        assert_eq!(page.sum("lag", Some(("stream", "BLOCKS"))), None);
        assert_eq!(page.sum("absent", None), None);
        let by = page.by("shares_rejected", "reason");
        assert_eq!(by["stale-share"], 3);
        assert_eq!(by.len(), 2);
    }

    #[test]
    fn histograms_are_summed_over_their_series() {
        let page = Page::parse(PAGE);
        let infinity = f64::INFINITY;
        assert_eq!(page.histogram("latency_ms", None), [(1.0, 3), (5.0, 7), (infinity, 8)]);
        let of_blocks = page.histogram("latency_ms", Some(("stream", "BLOCKS")));
        assert_eq!(of_blocks, [(1.0, 1), (5.0, 1), (infinity, 1)]);
        assert!(page.histogram("absent", None).is_empty());
    }
}

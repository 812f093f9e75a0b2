//! Quantiles of what was timed again and again.

use super::figure::{Figure, Goal};
use anyhow::Context as _;
use std::time::Duration;

/// What was timed again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<f64>);

impl Times {
    pub(super) fn add(&mut self, from: Duration, to: Duration) {
        self.0.push(to.saturating_sub(from).as_secs_f64() * 1e3);
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn mean(&self, name: &str, goal: Goal) -> anyhow::Result<Figure> {
        let count = u32::try_from(self.0.len())?;
        let mean = self.0.iter().sum::<f64>() / f64::from(count.max(1));
        self.figure(name, goal, mean)
    }

    /// The least value that `percent` of all do not exceed.
    pub(super) fn percentile(
        &self,
        percent: usize,
        name: &str,
        goal: Goal,
    ) -> anyhow::Result<Figure> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        let value = sorted.get(place).copied().context("nothing was timed")?;
        self.figure(name, goal, value)
    }

    fn figure(&self, name: &str, goal: Goal, value: f64) -> anyhow::Result<Figure> {
        let least = self.0.iter().copied().min_by(f64::total_cmp).context("nothing was timed")?;
        let most = self.0.iter().copied().max_by(f64::total_cmp).unwrap_or(least);
        let mut figure = Figure::median(name, "ms", goal, &[value]);
        figure.runs = self.0.len();
        let [least, most] = [least, most].map(super::figure::Rounded);
        Ok(figure.with(format!("{least} to {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut times = Times::default();
        for millis in (1..=100).rev() {
            times.add(Duration::from_millis(5), Duration::from_millis(5 + millis));
        }
        let value = |percent| times.percentile(percent, "x", Goal::None).unwrap().value;
        assert!(
            [(50, 50.0), (99, 99.0), (100, 100.0)].iter().all(|(percent, wanted)| (value(
                *percent
            ) - wanted)
                .abs()
                < 1e-6)
        );
        let mean = times.mean("x", Goal::AtMost(51.0)).unwrap();
        assert!((mean.value - 50.5).abs() < 1e-6 && mean.runs == 100);
        assert!(Times::default().percentile(50, "x", Goal::None).is_err());
    }
}

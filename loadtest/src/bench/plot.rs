//! Curves over time, as a picture.

use plotters::prelude::{
    BLACK, ChartBuilder, Color as _, IntoDrawingArea as _, LineSeries, Palette as _, Palette99,
    PathElement, SVGBackend, SeriesLabelPosition, WHITE,
};
use std::path::Path;

/// The picture's width and height.
const SIZE: (u32, u32) = (1_000, 500);

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// What it shows.
    pub(super) name: String,
    /// Its corners.
    pub(super) points: Vec<(f64, f64)>,
}

/// Writes all curves into one picture, an SVG file.
///
/// # Errors
///
/// When the file cannot be written.
pub(super) fn plot(
    path: &Path,
    title: &str,
    axes: (&str, &str),
    curves: &[Curve],
) -> anyhow::Result<()> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let right = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let top = points().map(|(_, y)| *y * 1.05).fold(1.0, f64::max);
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart.configure_mesh().x_desc(axes.0).y_desc(axes.1).draw()?;
    for (place, curve) in curves.iter().enumerate() {
        let colour = Palette99::pick(place).stroke_width(2);
        let series = LineSeries::new(curve.points.iter().copied(), colour);
        let drawn = chart.draw_series(series)?.label(&curve.name);
        drawn.legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_every_curve() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svg");
        let curve = |name: &str, y: f64| Curve { name: name.to_owned(), points: vec![(0.0, y)] };
        plot(&path, "memory", ("s", "MiB"), &[curve("hub", 1.0), curve("leaf", 2.0)]).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(["memory", "MiB", "hub", "leaf"].iter().all(|word| text.contains(word)), "{text}");
    }
}

//! Latencies as a drawing (SVG): for each kind of request, the share of answers that took longer, on a scale that shows the rare ones.

use std::fmt::Write as _;

use super::outcome::{Kind, Outcome};
use crate::options::Common;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 50.0;
const RIGHT: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Shares that are marked: none take longer than `max`.
const MARKS: [(f64, &str); 6] = [
    (0.0, "0"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.999_99, "99.999 %"),
];

const COLOURS: [&str; 4] = ["#4e79a7", "#e15759", "#59a14f", "#b07aa1"];

/// Draws the latencies of an outcome.
pub(super) fn draw(common: &Common<'_>, outcome: &Outcome) -> String {
    let kinds = Kind::ALL.into_iter().filter(|kind| outcome.of(*kind).answers > 0);
    let curves: Vec<(Kind, Vec<(f64, f64)>)> = kinds.map(|kind| (kind, curve(outcome, kind))).collect();
    let most = curves.iter().flat_map(|(_, points)| points).map(|(_, us)| *us).fold(1.0, f64::max);
    // Decades of microseconds.
    let top = most.log10().ceil().max(1.0);
    let x = |share: f64| LEFT + (WIDTH - LEFT - RIGHT) * nines(share) / nines(MARKS[MARKS.len() - 1].0);
    let y = |us: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * us.max(1.0).log10() / top;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">Latency of {}: {:.0} answers a second</text>\n",
        common.target,
        outcome.answers() as f64 / outcome.time.as_secs_f64().max(f64::MIN_POSITIVE),
    );
    let mut put = |line: std::fmt::Arguments<'_>| {
        let _infallible = svg.write_fmt(line);
    };
    for decade in 0..=top as u32 {
        let at = y(10f64.powi(decade.cast_signed()));
        let name = ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"];
        let name = name.get(decade as usize).unwrap_or(&"");
        put(format_args!(
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\n",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        ));
    }
    for (share, name) in MARKS {
        let at = x(share);
        put(format_args!(
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#ddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>\n",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0
        ));
    }
    for (number, (kind, points)) in curves.iter().enumerate() {
        let colour = COLOURS[*kind as usize % COLOURS.len()];
        let points: Vec<String> =
            points.iter().map(|(share, us)| format!("{:.1},{:.1}", x(*share), y(*us))).collect();
        let (at, row) = (WIDTH - 130.0, 24.0 + 16.0 * number as f64);
        put(format_args!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\n\
             <text x=\"{at}\" y=\"{row}\" fill=\"{colour}\">{}</text>\n",
            points.join(" "),
            kind.name()
        ));
    }
    svg + "</svg>\n"
}

/// How many nines a share has: 0.9 is 1, 0.99 is 2.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// Shares, and within how many microseconds they were answered.
fn curve(outcome: &Outcome, kind: Kind) -> Vec<(f64, f64)> {
    let of = outcome.of(kind);
    let steps = (0..=100).map(|step| 1.0 - 10f64.powf(-f64::from(step) / 20.0));
    // Beyond one answer there is nothing to show.
    let shown = steps.take_while(|share| (1.0 - share) * of.answers as f64 >= 1.0 || *share == 0.0);
    shown.map(|share| (share, of.latency.quantile_us(share))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn drawing_has_a_curve_for_each_kind_that_was_answered_and_only_numbers_in_it() {
        let mut outcome = Outcome::new();
        outcome.time = Duration::from_secs(1);
        for us in 1..=1000 {
            let of = outcome.of_mut(Kind::Announce);
            of.answers += 1;
            of.latency.add(Duration::from_micros(us));
        }
        let configuration = super::super::configuration::Configuration::default();
        let svg = draw(&configuration.common(), &outcome);
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("announce</text>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        // The slowest are 1 ms, which is the end of the third decade, and the curve falls nowhere.
        let points = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("points");
        let heights: Vec<f64> = points
            .split(' ')
            .map(|point| point.split_once(',').expect("two").1.parse().expect("a number"))
            .collect();
        assert!(heights.is_sorted_by(|one, next| one >= next), "{heights:?}");
        assert!((heights.last().expect("points") - TOP).abs() < 5.0, "{heights:?}");
    }

    #[test]
    fn nothing_answered_is_an_empty_drawing() {
        let configuration = super::super::configuration::Configuration::default();
        let svg = draw(&configuration.common(), &Outcome::new());
        assert!(!svg.contains("<polyline") && !svg.contains("NaN"), "{svg}");
    }
}

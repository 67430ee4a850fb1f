//! Charts that need no script: stacked bars over time, and a line of a word's height. Every number in them stands in a
//! table beside them too.

use std::fmt::{self, Write as _};

use askama::filters::{HtmlSafe, Safe};

/// Stacked bars: one for each label, with one part for each series.
#[derive(Debug, Clone)]
pub struct Bars {
    /// What it shows, in a sentence, for who cannot see it.
    pub alt: String,
    /// What stands below the bars; where it is crowded, some.
    pub labels: Vec<String>,
    /// From the ground up.
    pub series: Vec<Series>,
    /// What the table has before these, and the drawing leaves out: a name, and one number for each label.
    pub beside: Vec<(&'static str, Vec<i64>)>,
}

/// One part of each bar.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name in the legend.
    pub name: &'static str,
    /// Its look: one of the stylesheet's `part-…`.
    pub look: &'static str,
    /// One for each label.
    pub counts: Vec<i64>,
}

/// The numbers behind a drawing: a row for each label, a column for each name. Where there are more than
/// forty labels, a row has the sums of seven: nobody reads a quarter day by day, and the CSV has each.
#[derive(Debug)]
pub struct Numbers<'a> {
    labels: &'a [String],
    columns: Vec<(&'a str, &'a [i64])>,
}

/// Maximum rows of a table in which each label has its own.
const MOST_ROWS: usize = 40;

/// How many labels make a row where there are more: days of a week.
const GROUPED: usize = 7;

/// The pattern of `part-lost`, once a page, for all of its drawings and legends: an id stands in a page once.
pub(crate) const HATCH: Safe<&str> = Safe(
    "<svg class=\"patterns\" aria-hidden=\"true\"><defs>\
    <pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
    <rect width=\"6\" height=\"6\" class=\"hatch-ground\"/><rect width=\"3\" height=\"6\" class=\"hatch-line\"/>\
    </pattern></defs></svg>",
);

const WIDTH: usize = 480;
const HEIGHT: usize = 200;
const LEFT: usize = 44;
const TOP: usize = 12;
const GROUND: usize = 168;

impl Bars {
    /// The bar's height: all of its parts.
    fn total(&self, bar: usize) -> i64 {
        self.series.iter().filter_map(|series| series.counts.get(bar)).sum()
    }

    /// Whether there is anything to see.
    pub fn is_empty(&self) -> bool {
        (0..self.labels.len()).all(|bar| self.total(bar) == 0)
    }

    /// The same as a table.
    pub fn numbers(&self) -> Numbers<'_> {
        let drawn = self.series.iter().map(|series| (series.name, series.counts.as_slice()));
        let beside = self.beside.iter().map(|(name, counts)| (*name, counts.as_slice()));
        Numbers { labels: &self.labels, columns: beside.chain(drawn).collect() }
    }

    /// The round number that the highest bar stays under.
    fn top(&self) -> i64 {
        let most = (0..self.labels.len()).map(|bar| self.total(bar)).max().unwrap_or_default().max(1);
        let mut unit = 1;
        loop {
            for step in [2, 4, 6, 8, 10] {
                if most <= step * unit {
                    return step * unit;
                }
            }
            unit *= 10;
        }
    }

    /// The drawing.
    pub fn svg(&self) -> Svg {
        let (top, bars) = (self.top(), self.labels.len().max(1));
        let y = |count: i64| {
            let high = count.max(0) * i64::try_from(GROUND - TOP).unwrap_or_default() / top;
            GROUND.saturating_sub(usize::try_from(high).unwrap_or_default())
        };
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(&self.alt)
        );
        for line in [top / 2, top] {
            let at = y(line);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{LEFT} {at}H{WIDTH}\"/>");
            let _ = write!(svg, "<text x=\"{}\" y=\"{}\" class=\"scale\">{line}</text>", LEFT - 6, at + 5);
        }
        let room = WIDTH - LEFT;
        let every = self.labels.len().div_ceil(6).max(1);
        // One path for each series: a quarter of the size of one element for each part of each bar.
        let mut paths = vec![String::new(); self.series.len()];
        for (bar, label) in self.labels.iter().enumerate() {
            let (left, right) = (LEFT + room * bar / bars, LEFT + room * (bar + 1) / bars);
            let gap = if bars > 40 { 1 } else { ((right - left) / 5).max(1) };
            let mut below = 0;
            for (series, path) in self.series.iter().zip(&mut paths) {
                let count = series.counts.get(bar).copied().unwrap_or_default().max(0);
                if count == 0 {
                    continue;
                }
                let (from, to) = (y(below), y(below + count));
                let wide = (right - left).saturating_sub(gap).max(1);
                // What is filled closes itself.
                let _ = write!(path, "M{left} {to}h{wide}v{}h-{wide}", from.saturating_sub(to).max(1));
                below += count;
            }
            if bar % every == 0 {
                let _ = write!(
                    svg,
                    "<text x=\"{left}\" y=\"{}\" class=\"tick\">{}</text>",
                    GROUND + 20,
                    escaped(label)
                );
            }
        }
        for (series, path) in self.series.iter().zip(&paths).filter(|(_, path)| !path.is_empty()) {
            let _ = write!(svg, "<path class=\"{}\" d=\"{path}\"/>", series.look);
        }
        let _ = write!(svg, "<path class=\"ground\" d=\"M{LEFT} {GROUND}H{WIDTH}\"/></svg>");
        Svg(svg)
    }
}

impl<'a> Numbers<'a> {
    /// What the columns are called.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.columns.iter().map(|(name, _)| *name)
    }

    /// The first label of a row, and a number for each column.
    pub fn rows(&self) -> impl Iterator<Item = (&'a str, Vec<i64>)> {
        let each = if self.labels.len() > MOST_ROWS { GROUPED } else { 1 };
        self.labels.iter().enumerate().step_by(each).map(move |(row, label)| {
            let sums = self.columns.iter().map(|(_, counts)| counts.iter().skip(row).take(each).sum());
            (label.as_str(), sums.collect())
        })
    }
}

/// Maximum points of a [`line()`]: it is 96 units wide.
const LINE_POINTS: usize = 32;

/// A line of a word's height: how often, from the first bucket to the last. Of many buckets, several make a point.
pub fn line(counts: &[i64]) -> Svg {
    let group = counts.len().div_ceil(LINE_POINTS).max(1);
    let counts: Vec<i64> = counts.chunks(group).map(|several| several.iter().sum()).collect();
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    let steps = counts.len().saturating_sub(1).max(1);
    let heights: Vec<usize> = counts
        .iter()
        .map(|count| 23 - usize::try_from((*count).max(0) * 20 / most).unwrap_or_default())
        .collect();
    let mut path = String::new();
    let mut drawn = None;
    for (step, y) in heights.iter().copied().enumerate() {
        let x = 2 + 96 * step / steps;
        let Some((from_x, from_y)) = drawn else {
            let _ = write!(path, "M{x} {y}");
            drawn = Some((x, y));
            continue;
        };
        // Along a level there is nothing to draw but its ends.
        if heights[step - 1] == y && heights.get(step + 1) == Some(&y) {
            continue;
        }
        // Distances: half the size of places. A minus needs no blank before it, and `l` is said once.
        let blank = if path.contains('l') { ' ' } else { 'l' };
        let _ = write!(path, "{blank}{}", x - from_x);
        let _ = if y < from_y { write!(path, "-{}", from_y - y) } else { write!(path, " {}", y - from_y) };
        drawn = Some((x, y));
    }
    Svg(format!(
        "<svg class=\"spark\" viewBox=\"0 0 100 26\" aria-hidden=\"true\"><path d=\"{path}\"/></svg>"
    ))
}

/// A drawing of ours: numbers of ours, and texts that were escaped.
#[derive(Debug, Clone)]
pub struct Svg(String);

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Svg {}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(counts: &[i64]) -> Bars {
        Bars {
            alt: "a < b \"c\"".into(),
            labels: counts.iter().map(|_| "x".to_owned()).collect(),
            series: vec![Series { name: "n", look: "part-good", counts: counts.to_vec() }],
            beside: vec![("all", counts.iter().map(|count| count + 1).collect())],
        }
    }

    #[test]
    fn the_highest_bar_stays_under_a_round_number() {
        for (most, top) in
            [(0, 2), (1, 2), (3, 4), (7, 8), (9, 10), (11, 20), (61, 80), (99, 100), (1234, 2000)]
        {
            assert_eq!(bars(&[1, most]).top(), top, "{most}");
        }
    }

    #[test]
    fn a_text_in_a_drawing_is_no_markup_and_nothing_is_drawn_out_of_bounds() {
        let svg = bars(&[5, 0, 3]).svg().to_string();
        assert!(svg.contains("aria-label=\"a &lt; b &quot;c&quot;\""), "{svg}");
        assert!(svg.contains("<path class=\"part-good\" d=\"M"), "{svg}");
        assert_eq!(svg.matches("h-").count(), 2, "nothing is drawn for nothing: {svg}");
        assert!(bars(&[0, 0]).is_empty() && !bars(&[0, 1]).is_empty());
        assert!(!line(&[]).to_string().contains("NaN") && line(&[1, 2]).to_string().contains("M2 13l96-10"));
        let level = line(&[0, 0, 0, 0, 2]).to_string();
        assert!(level.contains("d=\"M2 23l72 0 24-20\""), "a level is drawn from end to end: {level}");
        let down = line(&[2, 1, 0]).to_string();
        assert!(down.contains("d=\"M2 3l48 10 48 10\""), "{down}");
        let quarter = line(&(0..90).collect::<Vec<i64>>()).to_string();
        let d = quarter.split("d=\"M2 23l").nth(1).and_then(|d| d.split('"').next()).expect("a path");
        let numbers = d.replace('-', " ").split(' ').count();
        assert_eq!(numbers, 2 * 29, "three days make a point: {quarter}");
    }

    #[test]
    fn the_table_has_what_is_drawn_and_what_stands_beside() {
        let bars = bars(&[5, 0]);
        let numbers = bars.numbers();
        assert_eq!(numbers.names().collect::<Vec<_>>(), ["all", "n"]);
        assert_eq!(numbers.rows().collect::<Vec<_>>(), [("x", vec![6, 5]), ("x", vec![1, 0])]);
    }

    #[test]
    fn table_of_a_quarter_has_weeks() {
        let quarter = bars(&[1; 90]);
        let rows: Vec<_> = quarter.numbers().rows().collect();
        assert_eq!(rows.len(), 13);
        assert_eq!(rows[0].1, [14, 7]);
        assert_eq!(rows[12].1, [12, 6], "the last has six days");
        assert_eq!(bars(&[1; 40]).numbers().rows().count(), 40);
    }
}

//! Two pictures of the table, as SVG: bars of cold starts, lines of growth. Both scales are logarithmic.

use std::{fmt::Write as _, time::Duration};

use crate::{growth::Size, report};

const HEAD: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img" font-family="system-ui, sans-serif" font-size="13">
<rect width="720" height="{height}" fill="#ffffff"/>
"##;
const COLOURS: [&str; 5] = ["#1f7a5c", "#3b5bdb", "#b35900", "#7a1f5c", "#555555"];

fn head(height: usize, title: &str) -> String {
    let mut svg = HEAD.replace("{height}", &height.to_string());
    let _ = writeln!(
        svg,
        r##"<title>{title}</title><text x="16" y="26" font-size="16" font-weight="600" fill="#1a1a1a">{title}</text>"##
    );
    svg
}

/// Where a time stands between 0 and 1, of the decades from `least` to `most` seconds.
fn place(time: Duration, least: f64, most: f64) -> f64 {
    ((time.as_secs_f64() / least).log10() / (most / least).log10()).clamp(0.0, 1.0)
}

/// The cold starts, shortest first.
pub(crate) fn cold_starts(starts: &[(String, Duration)], machine: &str) -> String {
    let mut starts = starts.to_vec();
    starts.sort_by_key(|(_, time)| *time);
    let height = 76 + 30 * starts.len() + 34;
    let mut svg = head(height, "From a process's start to its first answer");
    let bottom = height - 34;
    for decade in [1e-3, 1e-2, 1e-1, 1.0] {
        let x = 130.0 + 500.0 * place(Duration::from_secs_f64(decade), 5e-4, 1.0);
        let label = report::round(Duration::from_secs_f64(decade));
        let _ = writeln!(
            svg,
            r##"<line x1="{x:.1}" y1="48" x2="{x:.1}" y2="{bottom}" stroke="#d9d9d9"/><text x="{x:.1}" y="44" text-anchor="middle" fill="#595959">{label}</text>"##
        );
    }
    for (number, (name, time)) in starts.iter().enumerate() {
        let y = 60 + 30 * number;
        let width = 500.0 * place(*time, 5e-4, 1.0);
        let colour = match name.as_str() {
            "hello" => "#8c8c8c",
            "node" | "python" => "#b35900",
            _ => "#1f7a5c",
        };
        let (middle, end, label) = (y + 15, 138.0 + width, report::time(*time));
        let _ = writeln!(
            svg,
            r##"<text x="120" y="{middle}" text-anchor="end" fill="#1a1a1a">{name}</text><rect x="130" y="{y}" width="{width:.1}" height="20" fill="{colour}"/><text x="{end:.1}" y="{middle}" fill="#1a1a1a">{label}</text>"##
        );
    }
    let _ = writeln!(
        svg,
        r##"<text x="16" y="{}" fill="#595959">Median; logarithmic. {machine}</text></svg>"##,
        height - 12
    );
    svg
}

/// Each call's time over the table's size.
pub(crate) fn growth(sizes: &[Size], machine: &str) -> String {
    let mut svg = head(400, "The same calls on a growing table");
    let (least, most) = (1e-4, 1.0);
    let x = |size: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a million")]
        let decades = (size as f64 / 1e3).log10();
        90.0 + 380.0 * decades / 3.0
    };
    let y = |time: Duration| 340.0 - 280.0 * place(time, least, most);
    for decade in [1e-4, 1e-3, 1e-2, 1e-1, 1.0] {
        let time = Duration::from_secs_f64(decade);
        let (at, label) = (y(time), report::round(time));
        let _ = writeln!(
            svg,
            r##"<line x1="90" y1="{at:.1}" x2="470" y2="{at:.1}" stroke="#d9d9d9"/><text x="82" y="{:.1}" text-anchor="end" fill="#595959">{label}</text>"##,
            at + 4.0
        );
    }
    for (size, _) in sizes {
        let _ = writeln!(
            svg,
            r##"<text x="{:.1}" y="360" text-anchor="middle" fill="#595959">{size}</text>"##,
            x(*size)
        );
    }
    for (number, colour) in COLOURS.iter().enumerate().take(sizes[0].1.len()) {
        let points: Vec<String> =
            sizes.iter().map(|(size, calls)| format!("{:.1},{:.1}", x(*size), y(calls[number].1))).collect();
        let (name, last) = sizes.last().expect("a size").1[number];
        let _ = writeln!(
            svg,
            r##"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/><text x="480" y="{:.1}" fill="{colour}">{name}: {}</text>"##,
            points.join(" "),
            y(last) + 4.0,
            report::time(last)
        );
    }
    let _ = writeln!(
        svg,
        r##"<text x="16" y="388" fill="#595959">Median, over connections; both scales logarithmic. {machine}</text></svg>"##
    );
    svg
}

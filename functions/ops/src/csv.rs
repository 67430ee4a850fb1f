//! What a page shows, as CSV (RFC 4180).

use std::fmt::Write as _;

use domain::{Environment, Failure};
use pages::{
    MissedEvent,
    ops::{Bars, HistoryEvent, OpsPage},
};
use web::views;

use crate::format::label;

/// A file of these rows. Spreadsheets run a cell that starts like a formula, so such a cell gets an apostrophe first.
pub(crate) fn text(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let separator = if column == 0 { "" } else { "," };
            let _ = write!(text, "{separator}{}", escaped(cell));
        }
        text.push_str("\r\n");
    }
    text
}

fn escaped(cell: &str) -> String {
    // First: without an invisible character, another one is the first.
    let cell = neutral(&domain::text::visible(cell));
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// An apostrophe stands before each sign that would make a formula. Where the list separator is a semicolon (in German
/// or French, say), a spreadsheet begins a new cell behind each one, whatever the quotes.
fn neutral(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len() + 1);
    let first = cell.trim_start_matches([' ', '"']).chars().next();
    if cell.starts_with(['\t', '\r', '\n']) || first.is_some_and(is_sign) {
        text.push('\'');
    }
    let mut is_start = false;
    for c in cell.chars() {
        if is_start && is_sign(c) {
            text.push('\'');
        }
        text.push(c);
        // They skip blanks and quotes in front.
        is_start = matches!(c, ';' | '|' | '\t' | '\r' | '\n') || (is_start && matches!(c, ' ' | '"'));
    }
    text
}

/// Whether a cell that begins so is a formula. Spreadsheets take the full-width forms for the same signs.
fn is_sign(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠')
}

fn row<const N: usize>(cells: [&dyn ToString; N]) -> Vec<String> {
    cells.iter().map(|cell| cell.to_string()).collect()
}

/// The failures of a list.
pub(crate) fn failures(failures: &[Failure]) -> Vec<Vec<String>> {
    let head = [
        "time",
        "reference",
        "cause",
        "label",
        "stage",
        "provenance",
        "app",
        "customer id",
        "customer",
        "environment",
        "org",
        "session",
        "connection",
        "resolved at",
        "help page",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(failures.iter().map(|failure| {
        vec![
            views::time(failure.at),
            failure.id.reference(),
            failure.cause.clone(),
            label(&failure.cause).to_owned(),
            failure.stage.word().to_owned(),
            failure.evidence.provenance.word().to_owned(),
            failure.app.to_string(),
            failure.customer.id.clone(),
            failure.customer.name.clone().unwrap_or_default(),
            failure.environment.map(Environment::word).unwrap_or_default().to_owned(),
            failure.org.as_ref().map(ToString::to_string).unwrap_or_default(),
            failure.session.as_ref().map(ToString::to_string).unwrap_or_default(),
            failure.connection.as_ref().map(ToString::to_string).unwrap_or_default(),
            failure.resolved.as_ref().map(|resolved| views::time(resolved.at)).unwrap_or_default(),
            format!("/help/{}", failure.id),
        ]
    }));
    rows
}

/// The events of a customer's history.
pub(crate) fn events(events: &[(String, HistoryEvent)]) -> Vec<Vec<String>> {
    let mut rows = vec![row([&"time", &"kind", &"event", &"reference"])];
    rows.extend(events.iter().map(|(at, event)| {
        let reference = event.link.as_ref().map(|link| link.text.as_str()).unwrap_or_default();
        row([at, &event.kind, &event.text, &reference])
    }));
    rows
}

/// The events that a webhook endpoint missed.
pub(crate) fn missed(events: &[MissedEvent]) -> Vec<Vec<String>> {
    let mut rows = vec![row([&"time", &"type", &"event", &"attempts", &"last answer", &"state"])];
    let cells = |event: &MissedEvent| {
        row([&event.at, &event.kind, &event.id, &event.attempts, &event.answer, &event.state])
    };
    rows.extend(events.iter().map(cells));
    rows
}

/// Every figure of the page, one a row.
pub(crate) fn figures(page: &OpsPage<'_>) -> Vec<Vec<String>> {
    let mut rows = vec![row([&"section", &"row", &"figure", &"value"])];
    for tile in &page.tiles {
        rows.push(row([&"numbers", &tile.name, &"value", &tile.value]));
    }
    for step in &page.funnel {
        rows.push(row([&"funnel", &step.name, &"sessions", &step.count]));
        rows.push(row([&"funnel", &step.name, &"percent of all", &step.share]));
    }
    for cause in &page.causes {
        let mut figure =
            |name: &str, value: &dyn ToString| rows.push(row([&"causes", &cause.cause, &name, value]));
        figure("label", &cause.title);
        figure("who acts", &cause.actor);
        figure("failures", &cause.count);
        figure("reported", &cause.reported);
        figure("percent of all", &cause.share);
        figure("observed before", &cause.before);
        for (label, count) in page.sessions.labels.iter().zip(&cause.counts) {
            if *count != 0 {
                rows.push(row([&"causes over time", &cause.cause, label, count]));
            }
        }
    }
    for (section, chart) in [("sessions over time", &page.sessions), ("refreshes over time", &page.refreshes)]
    {
        over_time(&mut rows, section, chart);
    }
    for place in &page.places {
        let name = format!("{}, {}", place.app, place.environment);
        let mut figure = |of: &str, value: i64| rows.push(row([&"app and environment", &name, &of, &value]));
        figure("sessions", place.sessions);
        figure("percent connected", place.connected);
        figure("failed", place.failed);
        figure("never came back", place.lost);
    }
    for (state, count) in &page.connections {
        rows.push(row([&"connections now", state, &"connections", count]));
    }
    for needy in &page.needy {
        let what = format!("{} {} {}", needy.title, needy.actor, needy.since);
        rows.push(row([&"needs attention", &needy.customer.text, &needy.reference, &what]));
    }
    for (outcome, _, count) in &page.outcomes {
        rows.push(row([&"refreshes", outcome, &"refreshes", count]));
    }
    for fix in &page.fixes {
        let provenance = if fix.is_reported { "reported" } else { "observed" };
        for (name, value) in
            [("fixed", &fix.count.to_string()), ("half within", &fix.median), ("9 of 10 within", &fix.p90)]
        {
            rows.push(row([&"time to fix", &fix.title, &format!("{name} ({provenance})"), value]));
        }
    }
    for lost in &page.lost {
        rows.push(row([&"never came back", &lost.title, &"sessions", &lost.count]));
    }
    for failure in &page.latest {
        let what = format!("{}, {}, {}", failure.cause.text, failure.stage, failure.state);
        rows.push(row([&"latest failures", &failure.customer.text, &failure.reference, &what]));
    }
    rows
}

fn over_time(rows: &mut Vec<Vec<String>>, section: &str, chart: &Bars) {
    for series in &chart.series {
        for (label, count) in chart.labels.iter().zip(&series.counts) {
            rows.push(row([&section, &series.name, label, count]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cell_is_never_a_formula() {
        for cell in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            " =1",
            "\u{200b}=1",
            "\u{202e}=1",
            "＝1",
            "－1",
        ] {
            let escaped = escaped(cell);
            assert!(escaped.trim_start_matches('"').starts_with('\''), "{cell:?}: {escaped:?}");
        }
        for (cell, safe) in [
            ("Acme;=cmd|' /C calc'!A0", "Acme;'=cmd|' /C calc'!A0"),
            ("Acme; =1;\t@x|-1", "Acme; '=1;\t'@x|'-1"),
            ("Acme;\"=1", "\"Acme;\"\"'=1\""),
        ] {
            assert_eq!(escaped(cell), safe);
        }
        for cell in ["Acme", "Acme; a-b", "0", "a=b", "−3", "", "a+b"] {
            assert_eq!(escaped(cell), cell);
        }
    }

    #[test]
    fn cell_with_a_comma_quote_or_line_break_is_quoted() {
        let rows =
            [vec!["a,b".to_owned(), "say \"x\"".to_owned(), "one\r\ntwo".to_owned()], vec!["c".to_owned()]];
        assert_eq!(text(&rows), "\"a,b\",\"say \"\"x\"\"\",\"one\r\ntwo\"\r\nc\r\n");
    }
}

//! Takes out the columns of a table whose heading names a secret: Markdown, CSV, aligned text, HTML.

use super::cuts::{self, Cut, trimmed};
use super::linking::USERS;
use super::names::{Secret, secret_of};
use super::passwords::looks_like_a_value;
use super::status::is_status;
use super::value;

/// Maximum cells of a row.
const MAX_CELLS: usize = 16;

/// Maximum bytes of a heading.
const MAX_HEADING: usize = 40;

/// Maximum rows below a heading.
const MAX_ROWS: usize = 200;

/// What parts cells, the surest first. A tab is a blank by the time that it is looked at.
const SEPARATORS: [&str; 5] = ["|", "\t", ";", ",", " "];

/// Headings of the columns beside a password's.
const HEADINGS: [&str; 24] = [
    "org",
    "organization",
    "org id",
    "url",
    "login url",
    "host",
    "instance",
    "domain",
    "my domain",
    "environment",
    "env",
    "type",
    "role",
    "profile",
    "name",
    "system",
    "service",
    "site",
    "server",
    "port",
    "note",
    "notes",
    "status",
    "database",
];

/// The text without secrets in tables. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    let mut cuts = lines(text);
    cuts.extend(html(text));
    cuts::apply(text, cuts)
}

/// A heading that was read: what parts its cells, and which of them name a secret.
struct Heading {
    separator: &'static str,
    secret: Vec<bool>,
}

/// The secrets below headings in lines of text.
fn lines(text: &str) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut heading: Option<(Heading, usize)> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        if let Some(new) = heading_of(&text[start..end]) {
            heading = Some((new, 0));
        } else if let Some((current, rows)) = &mut heading {
            *rows += 1;
            let is_rule =
                line.chars().all(|c| matches!(c, '-' | '|' | ':' | '+' | '=' | '_') || c.is_whitespace());
            match row(text, start, end, current) {
                Some(found) if *rows <= MAX_ROWS => cuts.extend(found),
                _ if is_rule && !line.trim().is_empty() => {}
                _ => heading = None,
            }
        }
        start += line.len();
    }
    cuts
}

/// The cells of a line: where they begin and end, without the marks of a table's edge.
fn cells(line: &str, separator: &str) -> Vec<Cut> {
    let marks = |c: char| matches!(c, '>' | ' ' | '\t');
    let mut start = line.len() - line.trim_start_matches(marks).len();
    let mut end = line.trim_end().len().max(start);
    if separator == "|" {
        start += usize::from(line[start..].starts_with('|'));
        end -= usize::from(end > start && line[..end].ends_with('|'));
    }
    let mut cells = Vec::new();
    let mut at = start;
    for cell in line[start..end].split(separator) {
        let bare = cell.trim_matches(|c: char| c == ' ' || matches!(c, '"' | '\'' | '*' | '`'));
        let from = at + cell.find(bare).unwrap_or_default();
        if separator != " " || !bare.is_empty() {
            cells.push((from, from + bare.len()));
        }
        at += cell.len() + separator.len();
    }
    cells
}

/// Whether a line is the heading of a table with a secret's column.
fn heading_of(line: &str) -> Option<Heading> {
    if line.len() > MAX_CELLS * MAX_HEADING {
        return None;
    }
    SEPARATORS.into_iter().filter(|separator| line.contains(*separator)).find_map(|separator| {
        let cells = cells(line, separator);
        if !(2..=MAX_CELLS).contains(&cells.len()) {
            return None;
        }
        let names: Vec<&str> = cells.iter().map(|(start, end)| &line[*start..*end]).collect();
        let secret: Vec<bool> = names.iter().map(|name| is_secret_heading(name)).collect();
        let others = names.iter().zip(&secret).filter(|(_, secret)| !**secret);
        let known = others.clone().filter(|(name, _)| is_heading(name)).count();
        let is_heading = match separator {
            // A row of headings has words alone.
            "|" => {
                names.len() > secret.iter().filter(|secret| **secret).count()
                    && others.clone().all(|(name, _)| is_plain(name))
            }
            _ => known > 0 && known == others.count(),
        };
        (is_heading && secret.contains(&true)).then_some(Heading { separator, secret })
    })
}

fn is_secret_heading(name: &str) -> bool {
    name.len() <= MAX_HEADING
        && name.split_whitespace().count() <= 3
        && secret_of(name).is_some_and(|secret| secret != Secret::Ambiguous)
}

fn is_heading(name: &str) -> bool {
    let name = name.to_lowercase();
    USERS.contains(&name.as_str()) || HEADINGS.contains(&name.as_str())
}

/// Whether a cell has words alone, as headings do.
fn is_plain(name: &str) -> bool {
    name.len() <= MAX_HEADING
        && !name.contains(|c: char| c.is_ascii_digit() || matches!(c, '@' | '=' | ':' | '!' | '['))
}

/// The secrets of a row, unless the line is none.
fn row(text: &str, start: usize, end: usize, heading: &Heading) -> Option<Vec<Cut>> {
    let line = &text[start..end];
    if !line.contains(heading.separator) || line.trim().is_empty() {
        return None;
    }
    let cells = cells(line, heading.separator);
    let fits = cells.len() == heading.secret.len();
    if heading.separator == " " && (!fits || line.contains(super::secrets::REMOVED)) {
        return None;
    }
    let is_secret = |index: usize, cell: &str| {
        if fits {
            heading.secret[index] && is_value(cell)
        } else {
            looks_like_a_value(cell) && is_value(cell)
        }
    };
    let found = cells.iter().enumerate().filter(|(index, (from, to))| is_secret(*index, &line[*from..*to]));
    Some(found.filter_map(|(_, (from, to))| trimmed(text, start + from, start + to)).collect())
}

fn is_value(cell: &str) -> bool {
    !is_status(cell)
        && !cell.contains("://")
        && !value::names_an_error(cell)
        && cell.contains(char::is_alphanumeric)
}

/// A cell of HTML: its content, and whether it is a heading.
struct Cell {
    start: usize,
    end: usize,
    is_heading: bool,
}

/// The secrets in tables of HTML.
fn html(text: &str) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut secret: Vec<bool> = Vec::new();
    let mut cells: Vec<Cell> = Vec::new();
    for (at, _) in text.match_indices('<') {
        let tag = &text[at + 1..];
        if value::starts_with(tag, "tr")
            || value::starts_with(tag, "/table")
            || value::starts_with(tag, "/tr")
        {
            end_row(text, &mut cells, &mut secret, &mut cuts);
            if value::starts_with(tag, "/table") {
                secret.clear();
            }
        } else if (value::starts_with(tag, "td") || value::starts_with(tag, "th"))
            && tag[2..].starts_with(['>', ' '])
            && cells.len() < MAX_CELLS
        {
            let near = &tag[..tag.floor_char_boundary(MAX_TAG)];
            if let Some(close) = near.find('>') {
                let start = at + 1 + close + 1;
                let (start, end) = content(text, start);
                cells.push(Cell { start, end, is_heading: value::starts_with(tag, "th") });
            }
        }
    }
    end_row(text, &mut cells, &mut secret, &mut cuts);
    cuts
}

/// Maximum bytes of a cell's tag.
const MAX_TAG: usize = 300;

/// The text of a cell, behind the tags that it begins with.
fn content(text: &str, mut start: usize) -> Cut {
    for _ in 0..MAX_CELLS {
        let rest = &text[start..];
        let blank = rest.len() - rest.trim_start().len();
        let tag = &rest[blank..];
        if !tag.starts_with('<') || value::starts_with(tag, "</t") || value::starts_with(tag, "<t") {
            break;
        }
        let Some(close) = tag[..tag.floor_char_boundary(MAX_TAG)].find('>') else { break };
        start += blank + close + 1;
    }
    let end = text[start..].find('<').map_or(text.len(), |end| start + end);
    trimmed(text, start, end).unwrap_or((start, start))
}

/// At the end of a row: it was a heading, or it has a secret's cell.
fn end_row(text: &str, cells: &mut Vec<Cell>, secret: &mut Vec<bool>, cuts: &mut Vec<Cut>) {
    let row = std::mem::take(cells);
    if row.is_empty() {
        return;
    }
    let name = |cell: &Cell| &text[cell.start..cell.end];
    let named: Vec<bool> = row.iter().map(|cell| is_secret_heading(name(cell))).collect();
    let are_headings = row.len() > 1
        && (row.iter().all(|cell| cell.is_heading)
            || row.iter().zip(&named).all(|(cell, named)| *named || is_heading(name(cell))));
    if are_headings {
        *secret = named;
        return;
    }
    let below = row.iter().zip(&*secret).filter(|(_, secret)| **secret).map(|(cell, _)| cell);
    let beside = row.iter().zip(&named).skip(1).filter(|_| row.len() == 2 && named[0]).map(|(cell, _)| cell);
    let found = below.chain(beside).filter(|cell| is_value(name(cell)));
    cuts.extend(found.map(|cell| (cell.start, cell.end)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_secrets_go() {
        for (pasted, kept) in [
            (
                "| User | Password | Org |\n|---|---|---|\n| uma | hunter | acme |\n| bo | geheim | beta |\n\n| x | y |",
                "| User | Password | Org |\n|---|---|---|\n| uma | [removed] | acme |\n| bo | [removed] | beta |\n\n| x | y |",
            ),
            ("Username | Password\numa | hunter", "Username | Password\numa | [removed]"),
            ("user,password,token\numa,hunter,a1\n", "user,password,token\numa,[removed],[removed]\n"),
            ("Benutzer;Passwort\numa;geheim", "Benutzer;Passwort\numa;[removed]"),
            ("Username Password\numa hunter\n\nso it is", "Username Password\numa [removed]\n\nso it is"),
            (
                "<table><tr><th>User</th><th>Password</th></tr><tr><td>uma</td><td>hunter</td></tr></table>",
                "<table><tr><th>User</th><th>Password</th></tr><tr><td>uma</td><td>[removed]</td></tr></table>",
            ),
            (
                "<tr><td>User</td><td><b>Contraseña</b></td></tr>\n<tr><td>uma</td><td><i>secreta</i></td></tr>",
                "<tr><td>User</td><td><b>Contraseña</b></td></tr>\n<tr><td>uma</td><td><i>[removed]</i></td></tr>",
            ),
            ("<tr><td>Passwort</td><td>geheim</td></tr>", "<tr><td>Passwort</td><td>[removed]</td></tr>"),
        ] {
            assert_eq!(remove(pasted), kept);
            assert_eq!(remove(kept), kept);
        }
    }

    #[test]
    fn other_lines_stay() {
        for text in [
            "Invalid username, password, security token; or user locked out.\nTry again, please",
            "| Error | Count |\n|---|---|\n| invalid_grant | 12 |",
            "user password\nOAUTH_APP_BLOCKED",
            "| User | Password |\n|---|---|\n| uma | expired |",
            "forgot my password\nit says so",
        ] {
            assert_eq!(remove(text), text);
        }
    }
}

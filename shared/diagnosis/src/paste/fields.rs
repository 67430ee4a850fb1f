//! Named fields: `error=…&error_description=…`, `"errorCode": "…"`, `error_description: …`.

/// What the fields of a text say.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The first value of a field `error` and its kin that looks like a code.
    pub(super) error: Option<String>,
    /// The values of description fields, the real ones before `message` and its kin.
    descriptions: Vec<String>,
    /// Whether a field `state` stands beside them: then it was a callback.
    pub(super) has_state: bool,
    /// Whether a field `errorCode` does: then it was an API answer.
    pub(super) is_api: bool,
}

/// Only so many fields are looked at.
const MOST: usize = 64;

impl Fields {
    /// The description that says most, by the given measure; the first of equals.
    pub(super) fn description(&self, says: &impl Fn(&str) -> usize) -> Option<String> {
        let mut best: Option<(usize, &String)> = None;
        for description in &self.descriptions {
            let said = says(description);
            if best.is_none_or(|(most, _)| said > most) {
                best = Some((said, description));
            }
        }
        best.map(|(_, description)| description.clone())
    }
}

/// Reads every field of a text.
pub(super) fn read(text: &str) -> Fields {
    let mut fields = Fields::default();
    let mut messages = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        rest = &rest[start..];
        let end =
            rest.find(|c: char| !(c.is_ascii_alphabetic() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let name = name.to_ascii_lowercase().replace(['_', '-'], "");
        let wanted = matches!(
            name.as_str(),
            "error"
                | "errorcode"
                | "exceptioncode"
                | "code"
                | "errordescription"
                | "errormessage"
                | "message"
                | "state"
        );
        if !wanted || fields.descriptions.len() + messages.len() >= MOST {
            continue;
        }
        let Some(value) = value(after) else { continue };
        match name.as_str() {
            "state" => fields.has_state = true,
            "errordescription" => fields.descriptions.push(value),
            "errormessage" | "message" => messages.push(value),
            _ => {
                fields.is_api |= name == "errorcode" && !after.starts_with('=');
                if fields.error.is_none() && looks_like_code(&value) {
                    fields.error = Some(value);
                }
            }
        }
    }
    fields.descriptions.append(&mut messages);
    fields.descriptions.retain(|description| !description.is_empty());
    fields
}

/// The value behind a name: `=value`, `: value`, `": "value"`.
fn value(after: &str) -> Option<String> {
    const LONGEST: usize = 300;
    let closed = after.strip_prefix(['"', '\'']).unwrap_or(after);
    let spaced = closed.trim_start_matches(' ');
    let rest = spaced.strip_prefix(['=', ':'])?;
    let rest = rest.strip_prefix('>').unwrap_or(rest).trim_start_matches(' ');
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let rest = &rest[quote.map_or(0, char::len_utf8)..];
    let rest = &rest[..rest.floor_char_boundary(LONGEST)];
    let value = match quote {
        Some(quote) => rest.split([quote, '\n']).next(),
        None => rest.split(['&', '"', '<', '>', '\n', '{', '}', '#']).next(),
    }?;
    // In an address a blank is a plus; a value that has real blanks was decoded already.
    let from_address = spaced.starts_with('=') && !value.contains(' ');
    Some(if from_address { value.replace('+', " ") } else { value.to_owned() }.trim().to_owned())
}

/// An error code is one word, or words joined by underscores or hyphens.
fn looks_like_code(value: &str) -> bool {
    (3..=60).contains(&value.len())
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && value.contains(|c: char| c.is_ascii_digit() || matches!(c, '_' | '-'))
}

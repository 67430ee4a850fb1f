//! Reads a product file's types. serde stops at the first value of a wrong type; here it reads on, so that all of them
//! are said at once.

use std::ops::Range;

use super::{FieldError, ProductFile, line_of};

/// Maximum wrong values that are looked for.
const MAX_ERRORS: usize = 100;

/// What serde said of one value.
struct Wrong {
    error: FieldError,
    at: Option<Range<usize>>,
    is_syntax: bool,
}

/// The file as it could be read, and what is wrong. Wrong values are replaced by placeholders, whose fields are the
/// errors' own. `None`: nothing could be read.
pub(super) fn read(text: &str) -> (Option<ProductFile>, Vec<FieldError>) {
    let mut errors = Vec::new();
    let mut text = text.to_owned();
    while errors.len() < MAX_ERRORS {
        match parse(&text) {
            Ok(file) => return (Some(file), errors),
            // A placeholder did not fit in.
            Err(wrong) if wrong.is_syntax && !errors.is_empty() => break,
            Err(wrong) => {
                let next = wrong.at.and_then(|at| without(&text, &wrong.error, at));
                errors.push(wrong.error);
                match next {
                    Some(next) => text = next,
                    None => break,
                }
            }
        }
    }
    (None, errors)
}

fn parse(text: &str) -> Result<ProductFile, Wrong> {
    let wrong = |field: &str, error: &toml::de::Error, is_syntax| Wrong {
        error: FieldError {
            line: error.span().map_or(0, |span| line_of(text, span.start)),
            field: field.to_owned(),
            what: error.message().to_owned(),
        },
        at: error.span(),
        is_syntax,
    };
    let deserializer = toml::Deserializer::parse(text).map_err(|error| wrong("", &error, true))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        // The span's carrier stands in the path; the field's own name is what a person knows.
        let field = error.path().to_string().replace(".$__serde_spanned_private_value", "");
        wrong(if field == "." { "" } else { &field }, error.inner(), false)
    })
}

/// The text with something in place of the wrong value that serde takes. Lines keep their numbers.
fn without(text: &str, error: &FieldError, at: Range<usize>) -> Option<String> {
    if error.what.starts_with("missing field") || error.field.is_empty() {
        return None;
    }
    let (before, value, after) = (text.get(..at.start)?, text.get(at.clone())?, text.get(at.end..)?);
    let lines = "\n".repeat(value.matches('\n').count());
    if error.what.starts_with("unknown field") {
        let rest = after.find('\n').map_or("", |end| after.split_at(end).1);
        return Some(format!("{before}{lines}{rest}"));
    }
    Some(format!("{before}{}{lines}{after}", placeholder(&error.field)))
}

fn placeholder(field: &str) -> &'static str {
    let name = field.rsplit('.').next().unwrap_or_default();
    match name.split_once('[').map_or(name, |(list, _)| list) {
        "login_hosts" if name.ends_with(']') => "\"production\"",
        _ if name.ends_with(']') => "\"x\"",
        "kind" => "\"connected_app\"",
        "connections" => "\"per_user\"",
        "owner" => "\"vendor\"",
        "policy" => "\"all_users\"",
        "return_addresses" | "scopes" | "names" | "login_hosts" | "check" => "[]",
        "redeem" | "introspect" => "true",
        "access_token_minutes" | "refresh_token_idle_days" => "30",
        "support" | "packages" | "about" => "{}",
        _ => "\"x\"",
    }
}

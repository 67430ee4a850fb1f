//! Reads a product file's types. serde stops at the first wrong value; here the value is replaced in the parsed file and
//! reading goes on, so that all wrong values are reported at once, with everything else.

use std::fmt::Write as _;

use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{FieldError, ProductFile, line_of};

/// Maximum wrong values that are reported of a file.
const MAX_ERRORS: usize = 100;

/// Begins a scope that replaces a wrong value.
const PLACEHOLDER: &str = "x-placeholder-";

/// The file as it could be read, and what is wrong. Each wrong or missing value is replaced by a placeholder that passes
/// every check. `None`: the file is not TOML, or has too many wrong values.
pub(super) fn read(text: &str) -> (Option<ProductFile>, Vec<FieldError>) {
    let (root, syntax) = DeTable::parse_recoverable(text);
    let mut root = root.into_inner();
    let mut errors: Vec<FieldError> = syntax.iter().map(|error| found(text, String::new(), error)).collect();
    // A key that is given twice leaves the rest of the file readable. Other syntax errors do not.
    if syntax.iter().any(|error| error.message() != "duplicate key") {
        return (None, errors);
    }
    let mut removed: Vec<String> = Vec::new();
    for turn in 0..3 * MAX_ERRORS {
        let whole = Spanned::new(0..text.len(), root.clone());
        let error = match serde_path_to_error::deserialize(toml::Deserializer::from(whole)) {
            Ok(file) => return (Some(file), errors),
            Err(error) => error,
        };
        let (place, wrong) = (Place::of(error.path()), error.inner());
        let fixed = if let Some(name) = missing(wrong.message()) {
            let field = place.field(name);
            // A value that was removed is reported already.
            if !removed.contains(&field.text()) {
                errors.push(found(text, place.text(), wrong));
            }
            insert(&mut root, &field, turn)
        } else {
            errors.push(found(text, place.text(), wrong));
            removed.push(place.text());
            replace(&mut root, &place, turn)
        };
        if fixed.is_none() || errors.len() >= MAX_ERRORS {
            break;
        }
    }
    (None, errors)
}

/// Whether a scope replaces a wrong value.
pub(super) fn is_placeholder(scope: &str) -> bool {
    scope.starts_with(PLACEHOLDER)
}

fn found(text: &str, field: String, error: &toml::de::Error) -> FieldError {
    let line = error.span().map_or(0, |span| line_of(text, span.start));
    FieldError { line, field, what: error.message().to_owned() }
}

/// The field that a message says is missing.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// One step from a table or an array to a value in it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

/// Where a value is in the file.
#[derive(Debug)]
struct Place(Vec<Step>);

impl Place {
    fn of(path: &Path) -> Self {
        let step = |segment: &Segment| match segment {
            // serde's carrier of a span, which is not in the file.
            Segment::Map { key } if key.starts_with("$__serde_spanned") => None,
            Segment::Map { key } => Some(Step::Name(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        Self(path.iter().filter_map(step).collect())
    }

    fn field(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([Step::Name(name.to_owned())]).collect())
    }

    /// As people write it: `apps[0].scopes[1]`.
    fn text(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Name(name) if text.is_empty() => text.push_str(name),
                Step::Name(name) => text.extend([".", name]),
                Step::Index(index) => {
                    let _ = write!(text, "[{index}]");
                }
            }
        }
        text
    }

    /// A value that the field takes and every check accepts. `turn` makes it unique.
    fn placeholder(&self, turn: usize) -> Value {
        let unique = format!("x-{turn}");
        let address = format!("https://{unique}.invalid/");
        let app = json!({
            "id": unique, "kind": "connected_app", "consumer_key": unique, "secret": "x",
            "scopes": ["refresh_token"], "names": ["x"],
        });
        let support = json!({ "email": "x@x.invalid" });
        let hash = "A".repeat(43);
        let is_element = matches!(self.0.last(), Some(Step::Index(_)));
        let name = self.0.iter().rev().find_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        });
        match (name.unwrap_or_default(), is_element) {
            ("return_addresses", true) => json!(address),
            ("return_addresses", false) => json!([address]),
            ("apps", true) => app,
            ("apps", false) => json!([app]),
            ("webhooks", true) => json!({ "id": unique, "url": address, "secret": "x" }),
            ("events", true) => json!("*"),
            ("events", false) => json!(["*"]),
            ("webhooks", false) => json!([]),
            ("api_keys", true) => json!({ "id": unique, "hash": hash }),
            ("hash", _) => json!(hash),
            ("scopes", true) => json!(format!("{PLACEHOLDER}{turn}")),
            ("scopes", false) => json!(["refresh_token"]),
            ("names", false) => json!(["x"]),
            ("login_hosts", true) => json!("production"),
            ("brand", _) => json!({ "name": "x", "support": support }),
            ("support", _) => support,
            ("kind", _) => json!("connected_app"),
            _ => json!(unique),
        }
    }
}

/// A placeholder as TOML. It has texts, lists and tables only.
fn toml_of(value: Value) -> Spanned<DeValue<'static>> {
    let value = match value {
        Value::Array(items) => {
            let mut array = DeArray::new();
            for item in items {
                array.push(toml_of(item));
            }
            DeValue::Array(array)
        }
        Value::Object(members) => DeValue::Table(
            members
                .into_iter()
                .map(|(name, value)| (Spanned::new(0..0, name.into()), toml_of(value)))
                .collect(),
        ),
        other => DeValue::String(other.as_str().unwrap_or_default().to_owned().into()),
    };
    Spanned::new(0..0, value)
}

fn value_at<'a, 'i>(root: &'a mut DeTable<'i>, steps: &[Step]) -> Option<&'a mut DeValue<'i>> {
    let (Step::Name(first), rest) = steps.split_first()? else { return None };
    let mut value = root.get_mut(first.as_str())?.get_mut();
    for step in rest {
        value = match (step, value) {
            (Step::Index(index), DeValue::Array(items)) => items.get_mut(*index)?.get_mut(),
            (Step::Name(name), DeValue::Table(table)) => table.get_mut(name.as_str())?.get_mut(),
            _ => return None,
        };
    }
    Some(value)
}

fn table_at<'a, 'i>(root: &'a mut DeTable<'i>, steps: &[Step]) -> Option<&'a mut DeTable<'i>> {
    if steps.is_empty() {
        return Some(root);
    }
    match value_at(root, steps)? {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Removes a wrong field, or replaces a wrong element of a list: the others keep their index. `None`: there is no such
/// value.
fn replace(root: &mut DeTable<'_>, place: &Place, turn: usize) -> Option<()> {
    let (last, parent) = place.0.split_last()?;
    match last {
        Step::Name(name) => table_at(root, parent)?.remove(name.as_str()).map(drop),
        Step::Index(_) => {
            *value_at(root, &place.0)? = toml_of(place.placeholder(turn)).into_inner();
            Some(())
        }
    }
}

/// Adds a missing field. `None`: its table is not there.
fn insert(root: &mut DeTable<'_>, field: &Place, turn: usize) -> Option<()> {
    let (Step::Name(name), parent) = field.0.split_last()? else { return None };
    let name = Spanned::new(0..0, name.clone().into());
    table_at(root, parent)?.insert(name, toml_of(field.placeholder(turn)));
    Some(())
}

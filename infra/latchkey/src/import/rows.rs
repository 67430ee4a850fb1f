//! The input: JSON Lines. A line that is no row is named with what to do about it, and the others go on.

use std::{collections::HashMap, path::Path};

use domain::{
    secret::{Hash, RefreshToken},
    text::copy_artifact,
};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::error::ImportError;

/// What the API takes.
const MAX_ROW: usize = 60 * 1024;

/// A row that can be brought.
#[derive(Debug)]
pub(super) struct Row {
    /// Its line, from 1.
    pub(super) line: usize,
    /// What it is known by in the journal.
    pub(super) digest: String,
    /// The customer's id.
    pub(super) customer: String,
    /// The call's body, with its token.
    pub(super) body: SecretString,
    /// The token, so that no answer repeats it.
    pub(super) token: RefreshToken,
}

/// A line that is not brought.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    /// The customer's id, as far as it can be read.
    pub(super) customer: Option<String>,
    pub(super) problem: &'static str,
    /// What is wrong and what to do. It holds nothing of the line.
    pub(super) detail: String,
    /// Whether the file says the same in another line, so that nothing is missing.
    pub(super) is_repeated: bool,
}

/// The rows of a file. `where_to` goes into each row's digest: what was brought to one deployment, for one product,
/// has not been brought to another.
pub(super) fn read(
    file: &Path,
    where_to: &str,
    dry_run: bool,
) -> Result<(Vec<Row>, Vec<Unreadable>), ImportError> {
    let bytes = std::fs::read(file).map_err(|error| ImportError::file(file, error))?;
    rows_of(&bytes, where_to, dry_run).ok_or_else(|| ImportError::Array { file: file.to_owned() })
}

/// The rows in the bytes of a file. `None`: they are a JSON array.
pub(super) fn rows_of(bytes: &[u8], where_to: &str, dry_run: bool) -> Option<(Vec<Row>, Vec<Unreadable>)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii_start().starts_with(b"[") {
        return None;
    }
    let (mut rows, mut unreadable) = (Vec::<Row>::new(), Vec::new());
    // Where each token was seen first, and in what row.
    let mut seen = HashMap::<String, (usize, String)>::new();
    for (at, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = at + 1;
        if text.trim_ascii().is_empty() {
            continue;
        }
        let row = match parse(line, text, where_to, dry_run) {
            Ok(row) => row,
            Err(found) => {
                unreadable.push(found);
                continue;
            }
        };
        let token = Hash::of(row.token.expose()).as_str().to_owned();
        match seen.get(&token) {
            None => {
                seen.insert(token, (line, row.digest.clone()));
                rows.push(row);
            }
            Some((first, digest)) => {
                let is_repeated = *digest == row.digest;
                let detail = if is_repeated {
                    format!("the same as line {first}")
                } else {
                    format!(
                        "the refresh_token of line {first}, with other particulars: a token becomes one connection. \
                         Leave one of the two lines out"
                    )
                };
                let customer = Some(row.customer);
                unreadable.push(Unreadable { line, customer, problem: "repeated", detail, is_repeated });
            }
        }
    }
    Some((rows, unreadable))
}

fn parse(line: usize, text: &[u8], where_to: &str, dry_run: bool) -> Result<Row, Unreadable> {
    let mut customer = None;
    let no = |customer: &Option<String>, detail: String| Unreadable {
        line,
        customer: customer.clone(),
        problem: "unreadable",
        detail,
        is_repeated: false,
    };
    // Read without its types: serde_json's messages about those quote what stands there.
    let value: Value = serde_json::from_slice(text).map_err(|error| {
        let detail =
            format!("not JSON at column {}: write each row as one JSON object on a line", error.column());
        no(&None, detail)
    })?;
    let Value::Object(mut members) = value else {
        return Err(no(&None, "not a JSON object: each line is the body of POST /v1/connections".into()));
    };
    let named = members.get("customer").and_then(|customer| customer.get("id")).and_then(Value::as_str);
    customer.clone_from(&named.map(str::to_owned));
    let Some(named) = named else {
        return Err(no(&customer, "customer.id is missing: write \"customer\": {\"id\": \"…\"}".into()));
    };
    let Some(token) = members.get("refresh_token").and_then(Value::as_str).map(RefreshToken::new) else {
        return Err(no(&customer, "refresh_token is missing, or is no text".into()));
    };
    if token.expose().trim().is_empty() {
        return Err(no(&customer, "refresh_token is empty".into()));
    }
    if let Some(what) = copy_artifact(token.expose()) {
        return Err(no(&customer, format!("refresh_token {what}")));
    }
    if members.contains_key("dry_run") {
        return Err(no(&customer, "leave dry_run out of the row: the command has --dry-run".into()));
    }
    let canonical = canonical(&members);
    if canonical.len() > MAX_ROW {
        return Err(no(&customer, format!("more than {MAX_ROW} bytes: a row is one connection")));
    }
    let digest = Hash::of(&format!("{where_to} {canonical}")).as_str().to_owned();
    let customer = named.to_owned();
    let body = if dry_run {
        members.insert("dry_run".to_owned(), Value::Bool(true));
        Value::Object(members).to_string()
    } else {
        canonical
    };
    Ok(Row { line, digest, customer, body: SecretString::from(body), token })
}

/// The row in one way of writing: spaces and the order of members make no other row.
fn canonical(members: &Map<String, Value>) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let mut names: Vec<_> = members.keys().collect();
                names.sort_unstable();
                names.into_iter().map(|name| (name.clone(), sorted(&members[name]))).collect()
            }
            other => other.clone(),
        }
    }
    sorted(&Value::Object(members.clone())).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, strategy::ValueTree as _};

    use super::{super::held, *};

    const ROW: &str = r#"{"customer":{"id":"c-1"},"refresh_token":"5Aep861.very-secret","user":"u"}"#;

    fn digest(text: &str, where_to: &str) -> String {
        parse(1, text.as_bytes(), where_to, false).expect("a row").digest
    }

    #[test]
    fn a_row_is_known_however_it_is_written_and_only_where_it_went() {
        let again =
            r#" { "user": "u", "refresh_token" : "5Aep861.very-secret", "customer": {"id": "c-1"} } "#;
        assert_eq!(digest(ROW, "a p"), digest(again, "a p"));
        assert_ne!(digest(ROW, "a p"), digest(ROW, "b p"));
        assert_ne!(digest(ROW, "a p"), digest(&ROW.replace("c-1", "c-2"), "a p"));
    }

    #[test]
    fn what_is_wrong_is_told_without_repeating_it() {
        for (text, says) in [
            (r#"{"refresh_token":"5Aep861.very-secret""#, "not JSON at column"),
            (r#""5Aep861.very-secret""#, "not a JSON object"),
            (r#"{"refresh_token":"5Aep861.very-secret"}"#, "customer.id is missing"),
            (
                r#"{"customer":{"id":"c"},"refresh_token":["5Aep861.very-secret"]}"#,
                "refresh_token is missing",
            ),
            (r#"{"customer":{"id":"c"},"refresh_token":""}"#, "refresh_token is empty"),
            (r#"{"customer":{"id":"c"},"refresh_token":"\"5Aep861.very-secret\""}"#, "quotation marks"),
            (r#"{"customer":{"id":"c"},"refresh_token":"5Aep861.very-secret%3D%3D"}"#, "percent-encoded"),
            (r#"{"customer":{"id":"c"},"refresh_token":"5Aep861.very-secret\u200b"}"#, "invisible character"),
            (r#"{"customer":{"id":"c"},"refresh_token":"5Aep861.very-secret\n"}"#, "line break"),
            (
                r#"{"customer":{"id":"c"},"refresh_token":"5Aep861.very-secret","dry_run":true}"#,
                "leave dry_run out",
            ),
        ] {
            let found = parse(7, text.as_bytes(), "", false).expect_err("no row");
            assert!(found.line == 7 && found.detail.contains(says), "{text}: {}", found.detail);
            assert!(!format!("{found:?}").contains("very-secret"));
        }
        assert!(!format!("{:?}", parse(1, ROW.as_bytes(), "", false)).contains("very-secret"));
    }

    #[test]
    fn kept_corpus_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/row");
        let (mut tried, mut rows) = (0, 0);
        for entry in std::fs::read_dir(folder).expect("the kept corpus") {
            rows += held::holds(&std::fs::read(entry.expect("an entry").path()).expect("a small file")).len();
            tried += 1;
        }
        assert!(tried >= 10 && rows >= 8, "{rows} rows in {tried} files");
    }

    /// Lines of a file: rows, near misses of them, and what an editor or a spreadsheet leaves.
    fn line() -> impl Strategy<Value = String> {
        let token = prop_oneof![4 => "5Aep861[A-Za-z0-9._!]{1,40}", 1 => "\\PC{0,20}", 1 => "[a-zA-Z0-9:%\"' ]{0,20}"];
        let more = prop_oneof![
            4 => Just(""),
            1 => prop::sample::select(vec![
                ",\"dry_run\":true",
                ",\"my_domain\":\"xn--a\"",
                ",\"x\":[1,{}]",
                ",",
            ]),
        ];
        let row = (token, "\\PC{0,10}", more);
        let row = row.prop_map(|(token, customer, more)| {
            let (token, customer) = (Value::from(token), Value::from(customer));
            format!(r#"{{"customer":{{"id":{customer}}},"refresh_token":{token}{more}}}"#)
        });
        prop_oneof![8 => row, 1 => "\\PC{0,60}", 1 => Just("[]".to_owned()), 1 => Just(" \r".to_owned())]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_file_is_rows_or_explained(lines in prop::collection::vec(line(), 0..6), end in "(\n|\r\n|\r)") {
            held::holds(lines.join(&end).as_bytes());
        }

        #[test]
        fn any_bytes_are_rows_or_explained(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            held::holds(&bytes);
        }
    }

    #[test]
    fn lines_are_rows_often() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut lines = (0..300).map(|_| line().new_tree(&mut runner).expect("a line").current());
        let rows = lines.by_ref().filter(|line| !held::holds(line.as_bytes()).is_empty()).count();
        assert!((60..270).contains(&rows), "{rows} of 300");
    }
}

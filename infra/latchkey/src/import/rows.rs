//! The input: JSON Lines. A line that is no row is named with what to do about it, and the others go on.

use std::{collections::HashMap, path::Path};

use domain::{
    secret::{Hash, RefreshToken},
    text::{REFRESH_TOKEN_LENGTHS, copy_artifact},
};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{error::ImportError, strict_json};

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
    let file = file.to_owned();
    rows_of(&bytes, where_to, dry_run).map_err(|form| match form {
        ForeignForm::Array => ImportError::Array { file },
        ForeignForm::Utf16 => ImportError::Utf16 { file },
    })
}

/// Why a file is not read line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForeignForm {
    /// One JSON array.
    Array,
    /// The text is UTF-16.
    Utf16,
}

/// The rows in the bytes of a file.
pub(super) fn rows_of(
    bytes: &[u8],
    where_to: &str,
    dry_run: bool,
) -> Result<(Vec<Row>, Vec<Unreadable>), ForeignForm> {
    // JSON begins with an ASCII character, so UTF-16 shows in the first two bytes even without a byte order mark.
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]) {
        return Err(ForeignForm::Utf16);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(ForeignForm::Array);
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
    Ok((rows, unreadable))
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
    let value = strict_json::from_slice(text).map_err(|error| {
        let column = error.column();
        let detail = if error.is_data() {
            format!(
                "the same member is given twice in one object, before column {column}: remove one of the two"
            )
        } else {
            format!("not JSON at column {column}: write each row as one JSON object on a line")
        };
        no(&None, detail)
    })?;
    let Value::Object(mut members) = value else {
        return Err(no(&None, "not a JSON object: each line is the body of POST /v1/connections".into()));
    };
    let id = match members.get("customer") {
        Some(Value::Object(customer)) => customer.get("id"),
        None | Some(Value::Null) => None,
        Some(_) => {
            let detail = "customer is not an object: write \"customer\": {\"id\": \"…\"}";
            return Err(no(&customer, detail.into()));
        }
    };
    let named = match id {
        Some(Value::String(id)) => id.clone(),
        None | Some(Value::Null) => {
            return Err(no(&customer, "customer.id is missing: write \"customer\": {\"id\": \"…\"}".into()));
        }
        Some(_) => {
            let detail =
                "customer.id is not a string: put it in quotation marks, \"customer\": {\"id\": \"…\"}";
            return Err(no(&customer, detail.into()));
        }
    };
    customer = Some(named.clone());
    let token = match members.get("refresh_token") {
        Some(Value::String(token)) => RefreshToken::new(token.as_str()),
        None | Some(Value::Null) => return Err(no(&customer, "refresh_token is missing".into())),
        Some(_) => {
            return Err(no(&customer, "refresh_token is not a string: put it in quotation marks".into()));
        }
    };
    if token.expose().trim().is_empty() {
        return Err(no(&customer, "refresh_token is empty".into()));
    }
    if let Some(what) = copy_artifact(token.expose()) {
        return Err(no(&customer, format!("refresh_token {what}")));
    }
    if !REFRESH_TOKEN_LENGTHS.contains(&token.expose().len()) {
        let (least, most) = REFRESH_TOKEN_LENGTHS.into_inner();
        let detail = format!("refresh_token must have {least} to {most} characters");
        return Err(no(&customer, detail));
    }
    if members.contains_key("dry_run") {
        return Err(no(&customer, "leave dry_run out of the row: the command has --dry-run".into()));
    }
    let canonical = canonical(&members);
    if canonical.len() > MAX_ROW {
        return Err(no(&customer, format!("more than {MAX_ROW} bytes: a row is one connection")));
    }
    let digest = Hash::of(&format!("{where_to} {canonical}")).as_str().to_owned();
    let customer = named;
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
                "refresh_token is not a string",
            ),
            (r#"{"customer":{"id":"c"},"user":"5Aep861.very-secret"}"#, "refresh_token is missing"),
            (
                r#"{"customer":{"id":1042},"refresh_token":"5Aep861.very-secret"}"#,
                "customer.id is not a string",
            ),
            (r#"{"customer":{"id":null},"refresh_token":"5Aep861.very-secret"}"#, "customer.id is missing"),
            (r#"{"customer":"c","refresh_token":"5Aep861.very-secret"}"#, "customer is not an object"),
            (r#"{"customer":{"id":"c"},"refresh_token":"very-secret"}"#, "16 to 4096 characters"),
            (r#"{"customer":{"id":"c"},"refresh_token":"refresh_token=5Aep861.very-secret"}"#, "a label"),
            (
                r#"{"customer":{"id":"c"},"refresh_token":"a","refresh_token":"5Aep861.very-secret"}"#,
                "given twice in one object",
            ),
            (
                r#"{"customer":{"id":"c","id":"d"},"refresh_token":"5Aep861.very-secret"}"#,
                "given twice in one object",
            ),
            (
                r#"{"customer":{"id":"c"},"refresh_token":"5Aep861.very-secret","x":[{"a":1,"\u0061":2}]}"#,
                "given twice in one object",
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
    fn file_of_another_form_is_told_from_bad_rows() {
        let utf16 = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        for text in
            [ROW.to_owned(), format!("\u{feff}{ROW}"), format!("\u{feff}[{ROW}]"), format!("\r\n{ROW}")]
        {
            for order in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(rows_of(&utf16(&text, order), "", false).err(), Some(ForeignForm::Utf16));
            }
        }
        let array = format!("\u{feff} [{ROW}]");
        assert_eq!(rows_of(array.as_bytes(), "", false).err(), Some(ForeignForm::Array));
        assert_eq!(rows_of(ROW.as_bytes(), "", false).map(|(rows, _)| rows.len()).ok(), Some(1));
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
        let token = prop_oneof![4 => "5Aep861[A-Za-z0-9._!]{9,40}", 1 => "[a-z]{1,3}", 1 => "\\PC{0,20}", 1 => "[a-zA-Z0-9:%\"' ]{0,20}"];
        let more = prop_oneof![
            4 => Just(""),
            1 => prop::sample::select(vec![
                ",\"dry_run\":true",
                ",\"my_domain\":\"xn--a\"",
                ",\"x\":[1,{}]",
                ",\"user\":\"a\",\"user\":\"b\"",
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

//! What holds of any file that is given to `latchkey import`.

use secrecy::ExposeSecret as _;

use super::rows::{ForeignForm, rows_of};

/// Reads the bytes as a file of rows. Every line is a row or is explained, and no explanation repeats a token. Returns
/// the bodies that would be sent.
pub(crate) fn holds(bytes: &[u8]) -> Vec<String> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    let mut bodies = Vec::new();
    for dry_run in [false, true] {
        let (rows, unreadable) = match rows_of(bytes, "https://latchkey.example p", dry_run) {
            Ok(read) => read,
            Err(ForeignForm::Array) => {
                assert!(text.trim_ascii_start().starts_with(b"["), "a file without an array is none");
                return Vec::new();
            }
            Err(ForeignForm::Utf16) => {
                let start = &bytes[..2];
                assert!(start.contains(&0) || start == b"\xff\xfe" || start == b"\xfe\xff", "{start:?}");
                return Vec::new();
            }
        };
        assert_eq!(rows.len() + unreadable.len(), lines, "a line is lost");
        for row in rows {
            let token = row.token.expose();
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=!".contains(&b)), "{token}");
            assert!(
                !token.trim_end_matches('=').contains('=') && (16..=4096).contains(&token.len()),
                "{token}"
            );
            let body: serde_json::Value =
                serde_json::from_str(row.body.expose_secret()).expect("a row is a JSON object");
            assert_eq!(body["refresh_token"], token);
            assert_eq!(body["customer"]["id"], row.customer.as_str());
            assert_eq!(body.get("dry_run").is_some(), dry_run, "{body}");
            assert!((1..=1 + bytes.len()).contains(&row.line) && !row.digest.is_empty());
            bodies.push(row.body.expose_secret().to_owned());
        }
        for line in unreadable {
            // What is explained is one of our sentences, with a number or two: it cannot hold what stands in the line.
            assert!(!line.detail.is_empty() && line.detail.len() < 200, "{}", line.detail);
            assert!(line.detail.chars().all(|c| c == '…' || (' '..='~').contains(&c)), "{}", line.detail);
        }
    }
    bodies
}

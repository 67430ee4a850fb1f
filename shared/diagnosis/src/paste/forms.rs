//! Takes out secrets whose names and values stand in a structure: elements of XML, fields of an HTML form, the
//! name-and-value pairs of a HAR file, user and password in an address, a private key.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::secrets::{REMOVED, is_error_code, is_secret_name};
use super::value;

/// Maximum bytes of a tag, or of the way from a pair's name to its value.
const NEAR: usize = 2_000;

/// Maximum bytes of a user, a password and a host in an address.
const MAX_AUTHORITY: usize = 400;

/// Maximum bytes of a private key in PEM.
const LONGEST_KEY: usize = 16 * 1024;

/// The text without secrets in structures. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    let mut cuts = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => cuts.extend(element(text, at)),
            b'"' => cuts.extend(pair(text, at)),
            b':' => cuts.extend(in_address(text, at)),
            b'-' if text[at..].starts_with("-----BEGIN ") => cuts.extend(private_key(text, at)),
            b'-' if text[at..].starts_with("-u ") || text[at..].starts_with("--user ") => {
                cuts.extend(user_of_curl(text, at));
            }
            b'B' | b'b' if is_basic(text, at) => cuts.extend(basic(text, at)),
            _ => {}
        }
    }
    cuts.sort_unstable();
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    for (start, end) in cuts {
        if start < copied || start >= end || text[start..end].contains(REMOVED) {
            continue;
        }
        out.push_str(&text[copied..start]);
        out.push_str(REMOVED);
        copied = end;
    }
    out.push_str(&text[copied..]);
    out
}

type Cut = Option<(usize, usize)>;

/// `<password>…</password>`, `<urn:sessionId …>…<`, `<input name="pw" … value="…">`.
fn element(text: &str, at: usize) -> Cut {
    let rest = &text[at + 1..];
    let name = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.')))?;
    let (name, attributes) = rest.split_at(name);
    let near = attributes.floor_char_boundary(NEAR);
    let close = end_of_tag(&attributes[..near])?;
    let inside = &attributes[..close];
    if name.eq_ignore_ascii_case("input") || name.eq_ignore_ascii_case("meta") {
        let (start, end) = field_of_form(inside)?;
        let begin = at + 1 + name.len();
        return Some((begin + start, begin + end));
    }
    let local = name.rsplit(':').next().unwrap_or_default();
    // HTML has an element for source text, and XML of Salesforce's for its error codes.
    if matches!(local.to_ascii_lowercase().as_str(), "code" | "state" | "source" | "statuscode") {
        return None;
    }
    if !is_secret_name(local) || inside.ends_with('/') {
        return None;
    }
    let start = at + 1 + name.len() + close + 1;
    let length = content_length(&text[start..], name);
    trimmed(text, start, start + length).filter(|(start, end)| !is_error_code(&text[*start..*end]))
}

/// Where a tag ends: a `>` in a quoted attribute does not end it.
fn end_of_tag(attributes: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in attributes.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '>' => return Some(at),
            None if matches!(c, '"' | '\'') && before == '=' => quote = Some(c),
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    // A mark that is never closed.
    attributes.find('>')
}

/// How long the content of an element is: up to its end tag, though a careless program left a `<` in it.
fn content_length(text: &str, name: &str) -> usize {
    let near = &text[..text.floor_char_boundary(NEAR)];
    if near.starts_with("<![CDATA[") {
        return near.find("]]>").unwrap_or(near.len());
    }
    let line = near.find('\n').unwrap_or(near.len());
    let ends = near[..line].match_indices("</").find(|(at, _)| value::starts_with(&near[at + 2..], name));
    ends.map_or_else(|| near.find(['<', '\n']).unwrap_or(near.len()), |(at, _)| at)
}

/// Where the value of a form's field stands in its tag, if the field is a secret's by its name, id or type.
fn field_of_form(tag: &str) -> Cut {
    let mut value = None;
    let mut secret = false;
    let mut at = 0;
    while let Some(equals) = tag[at..].find('=').map(|found| at + found) {
        let before = tag[at..equals].trim_end();
        let name =
            before.rsplit(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).next().unwrap_or_default();
        let rest = &tag[equals + 1..];
        let blank = rest.len() - rest.trim_start().len();
        let quote = rest.trim_start().chars().next().filter(|c| matches!(c, '"' | '\''));
        let start = equals + 1 + blank + quote.map_or(0, char::len_utf8);
        let length = match quote {
            Some(quote) => tag[start..].find(quote),
            None => tag[start..].find(char::is_whitespace),
        };
        let end = start + length.unwrap_or(tag.len() - start);
        let given = &tag[start..end];
        match name.to_ascii_lowercase().as_str() {
            "value" | "content" => value = Some((start, end)),
            "name" | "id" | "type" | "autocomplete" => secret |= is_secret_name(given),
            _ => {}
        }
        at = (end + quote.map_or(0, char::len_utf8)).min(tag.len()).max(equals + 1);
    }
    value.filter(|_| secret)
}

/// `"name": "pw", "value": "…"`: how HAR files and collections of requests hold fields, headers and cookies.
fn pair(text: &str, at: usize) -> Cut {
    let rest = &text[at..];
    let named = ["\"name\"", "\"key\"", "\"id\"", "\"field\""]
        .iter()
        .find(|name| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))?;
    let (name, name_end) = string_after(rest, named.len())?;
    if !is_secret_name(name) {
        return None;
    }
    let near = &rest[..rest.floor_char_boundary(name_end + 200)];
    let value = near[name_end..].find("\"value\"")? + name_end;
    // Another pair begins first: that value is not this name's.
    if near[name_end..value].contains(['{', '}']) {
        return None;
    }
    let (given, end) = string_after(rest, value + "\"value\"".len())?;
    Some((at + end - given.len(), at + end))
}

/// The string of JSON behind a member's name, and where it ends.
fn string_after(text: &str, from: usize) -> Option<(&str, usize)> {
    let rest = text.get(from..)?;
    let spaced = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let start = from + rest.len() - spaced.len();
    let mut escaped = false;
    let length = spaced.find(|c: char| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes || c == '\n'
    })?;
    Some((&spaced[..length], start + length))
}

/// `https://user:password@host`, `force://client:secret:token@host`.
fn in_address(text: &str, at: usize) -> Cut {
    let rest = text[at..].strip_prefix("://")?;
    let start = at + 3;
    let rest = &rest[..rest.floor_char_boundary(MAX_AUTHORITY)];
    let address =
        &rest[..rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>')).unwrap_or(rest.len())];
    let authority = &address[..address.find(['/', '?', '#']).unwrap_or(address.len())];
    let password = authority.find(':')? + 1;
    let is_port =
        authority.len() < address.len() && authority[password..].bytes().all(|byte| byte.is_ascii_digit());
    // A password that was not encoded may have an `@`, a `/` or a `#`.
    let user = match authority.rfind('@') {
        Some(user) => user,
        None if is_port => return None,
        None => address.rfind('@')?,
    };
    if user < password {
        return None;
    }
    trimmed(text, start + password, start + user)
}

/// `-----BEGIN PRIVATE KEY-----` to its end, or to the text's.
fn private_key(text: &str, at: usize) -> Cut {
    let rest = &text[at..];
    let line = rest.find('\n').unwrap_or(rest.len());
    if !rest[..line].contains("PRIVATE KEY") {
        return None;
    }
    let start = rest["-----BEGIN ".len()..].find("-----")? + "-----BEGIN -----".len();
    let near = &rest[..rest.floor_char_boundary(LONGEST_KEY)];
    let end = near.find("-----END ").unwrap_or(near.len());
    trimmed(text, at + start, at + end)
}

/// `curl -u user:password`.
fn user_of_curl(text: &str, at: usize) -> Cut {
    let start = at + text[at..].find(' ')? + 1;
    let value::Value { start: opened, end, .. } = value::find(&text[start..], false);
    let colon = text[start + opened..start + end].find(':')? + 1;
    trimmed(text, start + opened + colon, start + end)
}

fn is_basic(text: &str, at: usize) -> bool {
    text.get(at..at + 6).is_some_and(|word| word.eq_ignore_ascii_case("basic "))
        && !text[..at].ends_with(|c: char| c.is_alphanumeric())
}

/// `Basic dXNlcjpwYXNzd29yZA==`, wherever it stands.
fn basic(text: &str, at: usize) -> Cut {
    let start = at + 6;
    let rest = &text[start..];
    let length = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')))
        .unwrap_or(rest.len());
    let decoded = STANDARD.decode(&rest[..length]).ok()?;
    decoded.contains(&b':').then_some((start, start + length))
}

fn trimmed(text: &str, start: usize, end: usize) -> Cut {
    let value = text.get(start..end)?;
    let begin = start + value.len() - value.trim_start().len();
    let value = value.trim();
    (!value.is_empty()).then_some((begin, begin + value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_structures_go() {
        for (pasted, kept) in [
            ("<n1:password>hunter</n1:password>", "<n1:password>[removed]</n1:password>"),
            (
                r#"<met:sessionId xsi:type="xsd:string">AQ!x</met:sessionId>"#,
                r#"<met:sessionId xsi:type="xsd:string">[removed]</met:sessionId>"#,
            ),
            (
                r#"<input type="password" id="a" value="hunter">"#,
                r#"<input type="password" id="a" value="[removed]">"#,
            ),
            ("<input value='x y' name='pw'/>", "<input value='[removed]' name='pw'/>"),
            (r#"{"name": "pw", "value": "hunter"}"#, r#"{"name": "pw", "value": "[removed]"}"#),
            (r#"{"key":"Cookie","value":"sid=a\"b; x=1"}"#, r#"{"key":"Cookie","value":"[removed]"}"#),
            ("https://uma:hunter@acme.my.salesforce.com/", "https://uma:[removed]@acme.my.salesforce.com/"),
            ("force://Cli:se:5Aep@acme.my.salesforce.com", "force://Cli:[removed]@acme.my.salesforce.com"),
            ("curl -u 'uma@acme.example:hunter' https://x", "curl -u 'uma@acme.example:[removed]' https://x"),
            ("sent Basic dXNlcjpodW50ZXI= there", "sent Basic [removed] there"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIB\nabc\n-----END RSA PRIVATE KEY-----",
                "-----BEGIN RSA PRIVATE KEY-----\n[removed]\n-----END RSA PRIVATE KEY-----",
            ),
        ] {
            assert_eq!(remove(pasted), kept);
            assert_eq!(remove(kept), kept);
        }
    }

    #[test]
    fn other_structures_stay() {
        for text in [
            "<code>OAUTH_APP_BLOCKED</code>",
            "<sf:exceptionCode>INVALID_SESSION_ID</sf:exceptionCode>",
            r#"<input type="email" name="un" value="uma@acme.example">"#,
            r#"{"name":"error","value":"invalid_grant"}"#,
            r#"{"name":"token"},{"name":"error","value":"invalid_grant"}"#,
            "https://acme.my.salesforce.com:443/a@b",
            "Basic edition of the product",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(remove(text), text);
        }
    }
}

//! Takes out secrets whose names and values stand in a structure: elements of XML, fields of an HTML form, user and
//! password in an address, a private key.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::cuts::{self, Cut, trimmed};
use super::names::is_secret_name;
use super::secrets::is_error_code;
use super::status::is_status;
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
            b':' => cuts.extend(in_address(text, at)),
            b'-' if text[at..].starts_with("-----BEGIN ") => cuts.extend(private_key(text, at)),
            b'B' | b'b' if is_basic(text, at) => cuts.extend(basic(text, at)),
            _ => {}
        }
    }
    cuts::apply(text, cuts)
}

type Found = Option<Cut>;

/// `<password>…</password>`, `<urn:sessionId …>…<`, `<input name="pw" … value="…">`.
fn element(text: &str, at: usize) -> Found {
    let rest = &text[at + 1..];
    let name = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.')))?;
    let (name, attributes) = rest.split_at(name);
    let near = attributes.floor_char_boundary(NEAR);
    let close = end_of_tag(&attributes[..near])?;
    let inside = &attributes[..close];
    let begin = at + 1 + name.len();
    let Field { value, is_secret } = field(inside);
    if let Some((start, end)) = value.filter(|_| is_secret) {
        return Some((begin + start, begin + end));
    }
    let content = begin + close + 1;
    if is_secret && !inside.ends_with('/') {
        return content_of_field(text, content, name);
    }
    let local = name.rsplit(':').next().unwrap_or_default();
    // HTML has an element for source text, and XML of Salesforce's for its error codes.
    if matches!(local.to_ascii_lowercase().as_str(), "code" | "state" | "source" | "statuscode") {
        return None;
    }
    if inside.ends_with('/') {
        return None;
    }
    if NAMES.iter().any(|names| local.eq_ignore_ascii_case(names)) {
        return value_of_next(text, content, name);
    }
    if !is_secret_name(local) {
        return None;
    }
    let length = content_length(&text[content..], name);
    trimmed(text, content, content + length).filter(|(start, end)| !is_error_code(&text[*start..*end]))
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

/// Elements whose content is the name of what the next element holds: `<key>password</key><string>…</string>`.
const NAMES: [&str; 8] =
    ["key", "name", "field", "parameter", "property", "attribute", "param-name", "header"];

/// Elements of a page that show text to people.
const OF_PAGES: [&str; 18] = [
    "a", "button", "div", "fieldset", "form", "h1", "h2", "h3", "label", "legend", "li", "option", "p",
    "section", "span", "td", "th", "title",
];

/// The content of an element that an attribute names: `<property name="password">…</property>`.
fn content_of_field(text: &str, start: usize, name: &str) -> Found {
    if ["script", "style", "form", "iframe"].iter().any(|other| name.eq_ignore_ascii_case(other)) {
        return None;
    }
    let length = content_length(&text[start..], name);
    let (from, to) = trimmed(text, start, start + length)?;
    let given = &text[from..to];
    let is_sentence = OF_PAGES.iter().any(|page| name.eq_ignore_ascii_case(page))
        && (given.contains(char::is_whitespace) || !given.contains(|c: char| c.is_ascii_digit()));
    let is_kept = is_sentence || is_status(given) || value::names_an_error(given) || given.starts_with("</");
    (!is_kept).then_some((from, to))
}

/// The content of the element behind one whose content is a secret's name.
fn value_of_next(text: &str, start: usize, name: &str) -> Found {
    let length = content_length(&text[start..], name);
    let named = text[start..start + length].trim();
    if named.contains(char::is_whitespace) || !is_secret_name(named) {
        return None;
    }
    let end = start + length;
    let after = &text[end..text.floor_char_boundary(end + NEAR)];
    let closed = after.strip_prefix("</")?;
    let next = closed[closed.find('>')? + 1..].trim_start().strip_prefix('<')?;
    let value_name =
        &next[..next.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-')))?];
    let from = end + after.len() - next.len() + next.find('>')? + 1;
    let (from, to) = trimmed(text, from, from + content_length(&text[from..], value_name))?;
    let given = &text[from..to];
    let is_kept = value_name.is_empty() || is_error_code(given) || is_status(given) || given.starts_with('<');
    (!is_kept).then_some((from, to))
}

/// What the attributes of a tag say: where its value stands, and whether its name, id or type is a secret's.
struct Field {
    value: Found,
    is_secret: bool,
}

fn field(tag: &str) -> Field {
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
            "value" | "content" | "val" | "default" => value = Some((start, end)),
            "name" | "id" | "key" | "type" | "autocomplete" => secret |= is_secret_name(given),
            _ => {}
        }
        at = (end + quote.map_or(0, char::len_utf8)).min(tag.len()).max(equals + 1);
    }
    Field { value, is_secret: secret }
}

/// `https://user:password@host`, `force://client:secret:token@host`.
fn in_address(text: &str, at: usize) -> Found {
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
fn private_key(text: &str, at: usize) -> Found {
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

fn is_basic(text: &str, at: usize) -> bool {
    text.get(at..at + 6).is_some_and(|word| word.eq_ignore_ascii_case("basic "))
        && !text[..at].ends_with(|c: char| c.is_alphanumeric())
}

/// `Basic dXNlcjpwYXNzd29yZA==`, wherever it stands.
fn basic(text: &str, at: usize) -> Found {
    let start = at + 6;
    let rest = &text[start..];
    let length = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')))
        .unwrap_or(rest.len());
    let decoded = STANDARD.decode(&rest[..length]).ok()?;
    decoded.contains(&b':').then_some((start, start + length))
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
            (
                r#"<property name="password">hunter</property>"#,
                r#"<property name="password">[removed]</property>"#,
            ),
            (r#"<property value="hunter" name="pwd"/>"#, r#"<property value="[removed]" name="pwd"/>"#),
            (r#"<add key="Password" value="hunter"/>"#, r#"<add key="Password" value="[removed]"/>"#),
            (r#"<entry key="db.password">hunter</entry>"#, r#"<entry key="db.password">[removed]</entry>"#),
            (r#"<param name="sid" value="hunter">"#, r#"<param name="sid" value="[removed]">"#),
            (
                r#"<textarea name="password">two words</textarea>"#,
                r#"<textarea name="password">[removed]</textarea>"#,
            ),
            (
                "<key>password</key>\n <string>hunter</string>",
                "<key>password</key>\n <string>[removed]</string>",
            ),
            ("<name>pw</name><value>hunter</value>", "<name>pw</name><value>[removed]</value>"),
            ("<password2>hunter</password2>", "<password2>[removed]</password2>"),
            ("<input value='x y' name='pw'/>", "<input value='[removed]' name='pw'/>"),
            ("https://uma:hunter@acme.my.salesforce.com/", "https://uma:[removed]@acme.my.salesforce.com/"),
            ("force://Cli:se:5Aep@acme.my.salesforce.com", "force://Cli:[removed]@acme.my.salesforce.com"),
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
            r#"<label id="password">Password</label><a id="forgot_password">Forgot your password?</a>"#,
            r#"<div id="password-error">Enter a password</div>"#,
            "<name>error</name><value>invalid_grant</value>",
            "https://acme.my.salesforce.com:443/a@b",
            "Basic edition of the product",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(remove(text), text);
        }
    }
}

//! Requests, read strictly: every part has a limit, a parameter given twice is not given at all (RFC 6749
//! §3.1), and what is no UTF-8 is refused rather than repaired.

use std::{borrow::Cow, fmt::Write as _};

use domain::secret::{ApiKey, BrowserSecret};
use http::header;
use jiff::Timestamp;
use lambda_http::RequestExt as _;
use platform::Deadline;
use serde::de::DeserializeOwned;

use crate::Request;

/// Maximum size of a JSON body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Maximum size of a posted form, in bytes. The largest field takes 8,000 characters, each up to nine bytes in a form.
pub const MAX_FORM: usize = 96 * 1024;

/// A request that cannot be read. The message says what to do, and repeats nothing of what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The body is too large.
    #[error("the body is larger than {} kB", MAX_BODY / 1024)]
    TooLarge,
    /// The body, or a part of it, is not as it must be.
    #[error("{0}")]
    Malformed(String),
}

/// The body as JSON, read into what the call takes. An unknown member is refused by name: a misspelt option
/// must not be ignored.
pub fn json<T: DeserializeOwned>(request: &Request) -> Result<T, RequestError> {
    let body: &[u8] = request.body().as_ref();
    if body.len() > MAX_BODY {
        return Err(RequestError::TooLarge);
    }
    let body = if body.is_empty() { b"{}" } else { body };
    // serde reads a list into a struct too, member by member: no call is documented so. Below the top, see `json_object`.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(RequestError::Malformed("the body is not as documented: expected an object".into()));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let call = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let place = place(error.path());
        RequestError::Malformed(described(error.inner(), &place))
    })?;
    deserializer.end().map_err(|error| RequestError::Malformed(described(&error, "")))?;
    Ok(call)
}

/// Where in the body something is wrong: `customer.id`, `tokens[3]`. It ends before a name that is none of ours: it may
/// be a misplaced secret.
fn place(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut place = String::new();
    for segment in path {
        match segment {
            Segment::Map { key } if is_plain_name(key) => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(key);
            }
            Segment::Seq { index } => {
                let _ = write!(place, "[{index}]");
            }
            _ => break,
        }
    }
    place
}

/// Whether a name could be one of ours: no secret is a short word in lower case.
fn is_plain_name(name: &str) -> bool {
    (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// What is wrong with a body, in words of JSON, without the value that serde_json quotes: a misplaced secret is not
/// repeated. A member or variant is named where the name could be one of ours: no secret is a short word in lower case.
fn described(error: &serde_json::Error, place: &str) -> String {
    if !error.is_data() {
        return format!("the body is not valid JSON: line {}, column {}", error.line(), error.column());
    }
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let wrong = without_values(text);
    // An unknown member names itself, and the path to it ends with it.
    let place = if wrong.starts_with("unknown field") {
        place.rsplit_once('.').map_or("", |(before, _)| before)
    } else {
        place
    };
    if place.is_empty() {
        format!("the body is not as documented: {wrong}")
    } else {
        format!("the body is not as documented: {place}: {wrong}")
    }
}

fn without_values(text: &str) -> String {
    if let [before, name, ..] = text.split('`').collect::<Vec<_>>()[..]
        && before.starts_with("unknown ")
        && !is_plain_name(name)
    {
        return format!("{before}that is none of the call's");
    }
    let wrong = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .find_map(|kind| text.split_once(kind));
    match wrong {
        Some((before, after)) => {
            let expected = after.rsplit_once("expected ").map_or("", |(_, expected)| expected);
            format!("{before}expected {}", json_type(expected))
        }
        None => text.to_owned(),
    }
}

/// What JSON calls a type that serde names as Rust does.
fn json_type(expected: &str) -> &str {
    match expected.split(' ').next().unwrap_or_default() {
        "struct" | "map" => "an object",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "f32" | "f64" => "a number",
        "enum" | "variant" | "string" | "str" => "a string",
        "tuple" | "sequence" => "a list",
        "a" | "an" => match expected {
            "a map" => "an object",
            "a sequence" => "a list",
            "a boolean" => "true or false",
            plain => plain,
        },
        _ => "another type",
    }
}

/// The names and values of a query, one by one. Bytes that are not UTF-8 become U+FFFD, and nothing is limited: for
/// readers that must not lose one parameter to another. [`Form`] is strict.
pub fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// A form or query: names and values, in order.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a query string. Not UTF-8, or longer than `limit` bytes: refused.
    pub fn of_query(request: &Request, limit: usize) -> Result<Self, RequestError> {
        let query = request.uri().query().unwrap_or_default();
        if query.len() > limit {
            return Err(RequestError::TooLarge);
        }
        Self::parse(query.as_bytes())
    }

    /// Reads a posted form (`application/x-www-form-urlencoded`).
    pub fn of_body(request: &Request) -> Result<Self, RequestError> {
        let body: &[u8] = request.body().as_ref();
        if body.len() > MAX_FORM {
            return Err(RequestError::TooLarge);
        }
        Self::parse(body)
    }

    fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        // The parser replaces invalid bytes with U+FFFD. A U+FFFD that somebody pasted is valid.
        if percent_encoding::percent_decode(bytes).decode_utf8().is_err() {
            return Err(RequestError::Malformed("the form is not UTF-8".into()));
        }
        let pairs = form_urlencoded::parse(bytes);
        Ok(Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }

    /// The value of a parameter that was given exactly once.
    pub fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value.as_str())
    }

    /// All names and values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a parameter was given more than once.
    pub fn doubled(&self, name: &str) -> bool {
        self.0.iter().filter(|(key, _)| key == name).count() > 1
    }
}

/// When Lambda stops the invocation that this request came in. `now` is the time at which it came in.
pub fn deadline(request: &Request, now: Timestamp) -> Deadline {
    let deadline = request.lambda_context_ref().map(|context| context.deadline);
    Deadline::until(deadline.unwrap_or_default(), now)
}

/// The secret in the cookie of that name.
pub fn cookie(request: &Request, name: &str) -> Option<BrowserSecret> {
    crate::cookies::cookie(request, name).map(BrowserSecret::new)
}

/// The bearer token (RFC 6750 §2.1), where there is one.
pub fn bearer(request: &Request) -> Option<ApiKey> {
    // Two headers: which of them counts would be a guess (RFC 6750 §2: one method).
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= 300)
        .then(|| ApiKey::new(token))
}

/// Whether a posted form came from a page of our own origin. `Sec-Fetch-Site` tells; a browser without it must send
/// our `Origin`. No header, or `Origin: null`, proves nothing and is refused.
pub fn is_same_origin(request: &Request, origin: &str) -> bool {
    let header = |name: &str| {
        let mut values = request.headers().get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    match (request.headers().contains_key("sec-fetch-site"), header("origin")) {
        (true, _) => header("sec-fetch-site") == Some("same-origin"),
        (false, sent) => sent == Some(origin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::Body;

    fn request(query: &str) -> Request {
        http::Request::builder().uri(format!("/oauth/callback?{query}")).body(Body::Empty).unwrap()
    }

    #[test]
    fn a_parameter_given_twice_is_not_given() {
        let form = Form::of_query(&request("state=a&state=b&code=c"), 100).unwrap();
        assert_eq!((form.only("state"), form.only("code")), (None, Some("c")));
        assert!(form.doubled("state"));
    }

    #[test]
    fn what_is_not_utf8_or_too_long_is_refused() {
        assert!(Form::of_query(&request("state=%ff%fe"), 100).is_err());
        assert_eq!(Form::of_query(&request(&"a".repeat(101)), 100).unwrap_err(), RequestError::TooLarge);
    }

    #[test]
    fn a_wrong_type_is_named_and_its_value_is_not() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Call {
            #[expect(dead_code, reason = "only its type matters here")]
            user: u32,
        }
        let request = http::Request::new(Body::Text(r#"{"user":"lk_secret"}"#.into()));
        let message = json::<Call>(&request).unwrap_err().to_string();
        assert!(
            message.contains("expected a whole number, 0 or more") && !message.contains("lk_secret"),
            "{message}"
        );
    }

    #[test]
    fn a_wrong_member_is_named_by_its_path() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the types matter here")]
        struct Call {
            customer: Customer,
            scopes: Vec<String>,
            labels: std::collections::BTreeMap<String, String>,
        }
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the types matter here")]
        struct Customer {
            id: String,
        }
        let refusal =
            |body: &str| json::<Call>(&http::Request::new(Body::Text(body.into()))).unwrap_err().to_string();
        for (body, says) in [
            (r#"{"customer":{"id":7}}"#, "customer.id: expected a string"),
            (r#"{"customer":{}}"#, "customer: missing field `id`"),
            (r#"{"customer":{"idd":""}}"#, "customer: unknown field `idd`"),
            (r#"{"customerr":{}}"#, "documented: unknown field `customerr`"),
            (r#"{"customer":"c"}"#, "customer: expected an object"),
            (r#"{"scopes":["a",1]}"#, "scopes[1]: expected a string"),
            (r#"{"customer":{"id":"a"},"customer":{"id":"b"}}"#, "duplicate field `customer`"),
        ] {
            let message = refusal(body);
            assert!(message.contains(says), "{body}: {message}");
        }
        for secret in [r#"{"labels":{"lk_Secret1":1}}"#, r#"{"customer":{"lk_Secret1":1}}"#] {
            assert!(!refusal(secret).contains("lk_Secret1"), "{}", refusal(secret));
        }
        assert!(refusal(r#"{"customer":{"id":"a"},"scopes":[],"labels":{}} x"#).contains("not valid JSON"));
    }

    #[test]
    fn only_our_own_pages_pass_as_same_origin() {
        const OURS: &str = "https://connect.example.com";
        let with = |headers: &[(&str, &str)]| {
            let mut request = http::Request::builder();
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.body(Body::Empty).unwrap()
        };
        for passes in [
            &[("sec-fetch-site", "same-origin"), ("origin", "null")][..],
            &[("sec-fetch-site", "same-origin")],
            &[("origin", OURS)],
        ] {
            assert!(is_same_origin(&with(passes), OURS), "{passes:?}");
        }
        for refused in [
            &[("sec-fetch-site", "same-site"), ("origin", OURS)][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("origin", "null")],
            &[("origin", "https://connect.example.com.evil.example")],
            &[("origin", OURS), ("origin", "https://evil.example")],
            &[],
        ] {
            assert!(!is_same_origin(&with(refused), OURS), "{refused:?}");
        }
    }
}

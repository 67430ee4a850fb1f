//! Every route of every function, with the query parameters that it takes.
//!
//! [`Route::of`] is the only way from a request to a handler, and [`Query`] the only way to a parameter of the API or
//! of the operators' page. A parameter that a route does not declare here is rejected before the handler runs, and cannot
//! be read by it. To add a parameter, add its name to the route below.

use http::{HeaderValue, Method, StatusCode, header};

use crate::{
    Problem, Request, Response, error_pages,
    request::{Form, RequestError},
};

use Function::{Authorize, Callback, Errors, Ops, Token};

/// The function that answers a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `functions/authorize`.
    Authorize,
    /// `functions/callback`.
    Callback,
    /// `functions/token`.
    Token,
    /// `functions/errors`. It also answers requests that match no route.
    Errors,
    /// `functions/ops`.
    Ops,
}

/// What a route does with its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameters {
    /// Not read, or read by the handler itself: mail clients and trackers add parameters to links.
    Any,
    /// Only these, each at most once.
    Only(&'static [&'static str]),
}

/// A route as it is declared.
#[derive(Debug, Clone, Copy)]
pub struct RouteSpec {
    /// The method.
    pub method: &'static str,
    /// The path. A segment in braces stands for any text.
    pub path: &'static str,
    /// The function that answers it.
    pub function: Function,
    /// The query parameters.
    pub query: Parameters,
    /// Whether a JSON body is read.
    pub takes_json: bool,
    /// Whether a body that is not read is ignored. Only for a call that changes nothing that an option could mean.
    pub ignores_body: bool,
}

/// A call of the API: no query parameters and no body until declared.
const fn api(method: &'static str, path: &'static str, function: Function) -> RouteSpec {
    RouteSpec { method, path, function, query: Parameters::Only(&[]), takes_json: false, ignores_body: false }
}

/// A browser's visit: its query is ignored until declared.
const fn page(method: &'static str, path: &'static str, function: Function) -> RouteSpec {
    RouteSpec { method, path, function, query: Parameters::Any, takes_json: false, ignores_body: true }
}

impl RouteSpec {
    const fn json(self) -> Self {
        Self { takes_json: true, ..self }
    }

    const fn ignoring_body(self) -> Self {
        Self { ignores_body: true, ..self }
    }

    const fn query(self, names: &'static [&'static str]) -> Self {
        Self { query: Parameters::Only(names), ..self }
    }

    /// Whether this is a call of the API, answered with JSON.
    pub fn is_api(&self) -> bool {
        self.path.starts_with("/v1/")
    }

    fn matches_path(&self, path: &[&str]) -> bool {
        let mut given = path.iter();
        let matches = segments(self.path)
            .all(|part| given.next().is_some_and(|given| part.starts_with('{') || part == *given));
        matches && given.next().is_none()
    }
}

/// The routes of `infra/template.yaml`.
pub const ROUTES: &[RouteSpec] = &[
    api("POST", "/v1/connect-sessions", Authorize).json(),
    api("GET", "/v1/connect-sessions/{id}", Authorize),
    page("GET", "/connect/{key}", Authorize),
    page("POST", "/connect/{key}", Authorize),
    page("GET", "/oauth/callback", Callback),
    page("GET", "/connect/{key}/confirm", Callback),
    page("POST", "/connect/{key}/confirm", Callback),
    api("POST", "/v1/connect-sessions/{id}/redeem", Callback).json(),
    api("GET", "/v1/connections", Token).query(&["customer", "limit", "after"]),
    api("POST", "/v1/connections", Token).json(),
    api("GET", "/v1/connections/{id}", Token),
    api("DELETE", "/v1/connections/{id}", Token),
    api("GET", "/v1/connections/{id}/token", Token).query(&["wait"]),
    api("POST", "/v1/connections/{id}/token", Token).json().query(&["wait"]),
    api("POST", "/v1/connections/{id}/check", Token).ignoring_body(),
    page("GET", "/connect/{key}/trouble", Errors),
    page("POST", "/connect/{key}/trouble", Errors),
    page("GET", "/help/{id}", Errors),
    page("POST", "/help/{id}", Errors),
    page("GET", "/help/{id}/status", Errors),
    api("POST", "/v1/connections/{id}/failures", Errors).json(),
    page("GET", "/guides/{product}/{app}", Errors),
    page("GET", "/guides/{product}/{app}/vendor", Errors),
    page("GET", "/guides/{product}/{app}/packaging", Errors),
    page("GET", "/healthz", Errors),
    api("GET", "/v1/failures", Ops).query(&[
        "cause",
        "app",
        "stage",
        "environment",
        "provenance",
        "resolved",
        "customer",
        "from",
        "to",
        "limit",
        "after",
    ]),
    api("GET", "/v1/failures/summary", Ops).query(&["from", "to", "bucket", "by", "app", "environment"]),
    api("GET", "/v1/events", Ops).query(&["after", "types", "connection", "customer", "limit"]),
    api("GET", "/v1/events/{id}", Ops),
    api("POST", "/v1/events/{id}/redeliver", Ops).json(),
    api("POST", "/v1/webhooks/test", Ops).json(),
    api("POST", "/v1/ops-links", Ops),
    page("GET", "/ops", Ops).query(&["product", "days", "app", "environment", "ref", "format"]),
    page("POST", "/ops/search", Ops).query(&[]),
    page("GET", "/ops/failures", Ops).query(&[
        "product",
        "days",
        "app",
        "environment",
        "cause",
        "after",
        "format",
    ]),
    page("GET", "/ops/endpoints/{endpoint}", Ops).query(&["product", "format"]),
    page("GET", "/ops/customers/{customer}", Ops).query(&["product", "format"]),
    page("GET", "/ops/sign-in/{key}", Ops),
    page("POST", "/ops/sign-in/{key}", Ops),
    page("POST", "/ops/sign-out", Ops),
];

/// The route that a request matches.
pub fn find(method: &str, path: &str) -> Option<&'static RouteSpec> {
    let path: Vec<&str> = segments(copied(path)).collect();
    ROUTES.iter().find(|route| route.method == method && route.matches_path(&path))
}

/// The part of the service that a path belongs to, for the log: never text of the caller's.
pub fn section(path: &str) -> &'static str {
    let mut given = segments(path);
    let (first, second) = (given.next().unwrap_or_default(), given.next());
    let section = |route: &RouteSpec| {
        let mut parts = segments(route.path);
        let known = parts.next().unwrap_or_default();
        match parts.next() {
            Some(collection) if known == "v1" && first == "v1" => {
                (second == Some(collection)).then_some(collection)
            }
            _ => (first == known).then_some(known),
        }
    };
    ROUTES.iter().find_map(section).unwrap_or("other")
}

/// The length of a random key in a link: `ck_` and 24 bytes in base64url.
const KEY_LENGTH: usize = 35;

/// The path without what copying a link leaves at its end: a sentence's period, a closing bracket or quote, a character
/// that nobody sees. No path of a page ends so. Calls of the API are taken as they are.
fn copied(path: &str) -> &str {
    if segments(path).next() == Some("v1") {
        return path;
    }
    let mut rest = path;
    loop {
        let shorter = match rest.as_bytes() {
            // Markdown's emphasis: `_link_`. Only a random key can end with one of these.
            [.., b'-' | b'_'] => (!may_be_key(rest)).then_some(1),
            [.., b'%', high, low] => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16);
                let byte =
                    digit(high).zip(digit(low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                byte.is_none_or(|byte| !is_of_path(byte)).then_some(3)
            }
            [.., last] => (!is_of_path(*last)).then_some(1),
            [] => None,
        };
        match shorter.and_then(|length| rest.get(..rest.len() - length)) {
            Some(shorter) => rest = shorter,
            None => return rest,
        }
    }
}

/// Whether the last segment of a path is a random key.
fn may_be_key(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    ["ck_", "ol_"].iter().any(|prefix| last.starts_with(prefix)) && last.len() <= KEY_LENGTH
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/')
}

/// A request that is as its route declares it.
#[derive(Debug)]
pub struct Route<'a> {
    method: &'a Method,
    path: Vec<&'a str>,
    query: Query,
}

impl<'a> Route<'a> {
    /// Finds a request's route among those of the function, and checks its query and body against the declaration.
    /// An error is the answer: a problem document for the API, a page for a browser.
    pub fn of(request: &'a Request, function: Function) -> Result<Self, Box<Response>> {
        let (method, path) = (request.method(), request.uri().path());
        match find(method.as_str(), path).filter(|route| route.function == function) {
            Some(route) => {
                let query = check(request, route)?;
                Ok(Self { method, path: segments(copied(path)).collect(), query })
            }
            None => Err(unknown(path).into()),
        }
    }

    /// Method and segments, to match on.
    pub fn parts(&self) -> (&str, &[&'a str]) {
        (self.method.as_str(), &self.path)
    }

    /// The parameters.
    pub fn query(&self) -> &Query {
        &self.query
    }
}

/// A request that no route takes.
fn unknown(path: &str) -> Response {
    let parts: Vec<&str> = segments(path).collect();
    if parts.first() != Some(&"v1") {
        return error_pages::not_found();
    }
    let allowed: Vec<&str> =
        ROUTES.iter().filter(|route| route.matches_path(&parts)).map(|route| route.method).collect();
    if allowed.is_empty() {
        let detail = "No call of the API has this path. Check the path; docs/api.md lists all calls.";
        return Problem::new(StatusCode::NOT_FOUND, "unknown-route", "No such call", detail).into();
    }
    let allowed = allowed.join(", ");
    let detail = format!("This path takes {allowed}.");
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "The path does not take this method",
        detail,
    );
    let mut response = Response::from(problem);
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// Maximum bytes of a query that a route declares.
const MAX_QUERY: usize = 4096;

fn check(request: &Request, route: &RouteSpec) -> Result<Query, Box<Response>> {
    let Parameters::Only(declared) = route.query else { return Ok(Query::default()) };
    let query = Query::of(request, declared, route.is_api());
    match query {
        Err(problem) if route.is_api() => Err(Box::new((*problem).into())),
        Err(problem) => Err(Box::new(error_pages::bad_query(problem.detail()))),
        // A body that nobody reads may hold an option that the caller relies on.
        Ok(_) if !route.takes_json && !route.ignores_body && has_content(request) => {
            Err(Box::new(Problem::bad_request("This call takes no body.").into()))
        }
        Ok(query) => Ok(query),
    }
}

fn has_content(request: &Request) -> bool {
    let body: &[u8] = request.body().as_ref();
    !matches!(body.trim_ascii(), b"" | b"{}" | b"null")
}

/// The parameters of a request: declared by its route, each at most once.
#[derive(Debug, Default)]
pub struct Query {
    form: Form,
    declared: &'static [&'static str],
}

impl Query {
    fn of(request: &Request, declared: &'static [&'static str], is_api: bool) -> Result<Self, Box<Problem>> {
        let form = Form::of_query(request, MAX_QUERY).map_err(|refused| match refused {
            RequestError::TooLarge => {
                Problem::bad_request(format!("The query is longer than {MAX_QUERY} bytes."))
            }
            RequestError::Malformed(_) => Problem::bad_request("The query is not UTF-8."),
        })?;
        let wrong = |name: &str, what: &str| {
            let (shown, known) = (shown(name), declared.join(", "));
            let allowed = match declared {
                [] => "This call takes no query parameters.".into(),
                _ => format!("Allowed: {known}."),
            };
            Problem::bad_request(format!("{shown} {what}. {allowed}"))
                .with("parameter", shown)
                .with("allowed", declared)
        };
        for (name, value) in form.pairs() {
            if !declared.contains(&name) {
                return Err(Box::new(wrong(name, "is not a parameter of this call")));
            }
            if form.doubled(name) {
                return Err(Box::new(wrong(name, "is given more than once")));
            }
            // The operators' page has a form, and a form sends its empty fields.
            if is_api && value.is_empty() {
                return Err(Box::new(wrong(name, "is empty")));
            }
        }
        Ok(Self { form, declared })
    }

    /// A parameter's value; `None`: it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(self.declared.contains(&name), "{name} is not declared by the route");
        self.form.only(name).filter(|value| !value.is_empty())
    }
}

/// A parameter's name as an answer and the log may repeat it: a secret in the wrong place must not get there.
fn shown(name: &str) -> &str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b);
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    let is_short = (1..=32).contains(&name.len());
    if is_short && digits <= 4 && name.bytes().all(plain) { name } else { "a parameter" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::Body;

    fn answer(method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let function = find(method, path.split('?').next().unwrap()).map_or(Errors, |route| route.function);
        let request = http::Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        let response = Route::of(&request, function).err()?;
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        Some((response.status().as_u16(), text))
    }

    #[test]
    fn a_parameter_is_declared_single_and_not_empty() {
        for (query, says) in [
            ("custmer=x", "custmer is not a parameter of this call. Allowed: customer, limit, after."),
            ("Customer=x", "Customer is not a parameter"),
            ("customer%5B%5D=x", "customer[] is not a parameter"),
            ("customer=x&customer=x", "customer is given more than once"),
            ("customer=x&c%75stomer=y", "customer is given more than once"),
            ("customer=", "customer is empty"),
            ("customer", "customer is empty"),
            ("=x", "a parameter is not a parameter"),
            ("customer=%ff", "not UTF-8"),
        ] {
            let (status, text) = answer("GET", &format!("/v1/connections?{query}"), "").expect(query);
            assert_eq!(status, 400, "{query}");
            assert!(text.contains(says), "{query}: {text}");
        }
        for query in ["", "customer=x", "limit=3&customer=x&after=y", "&&"] {
            assert_eq!(answer("GET", &format!("/v1/connections?{query}"), ""), None, "{query}");
        }
    }

    #[test]
    fn a_secret_in_place_of_a_name_is_not_repeated() {
        for secret in [
            "lk_fernway_k1_0123456789abcdefghij",
            "00D5g000008xyzABC!AQEAQ",
            "8F3A1C77E0D24B1F9E0C7B6A5D4E3F2A",
        ] {
            let (_, text) = answer("GET", &format!("/v1/failures?{secret}=1"), "").expect(secret);
            assert!(text.contains("a parameter is not") && !text.contains(secret), "{text}");
        }
    }

    #[test]
    fn an_unused_body_is_rejected() {
        for body in [r#"{"dry_run":true}"#, "x=1", "[]"] {
            let (status, text) = answer("POST", "/v1/ops-links", body).expect(body);
            assert!(status == 400 && text.contains("takes no body"), "{text}");
        }
        for body in ["", "{}", " null\n"] {
            assert_eq!(answer("DELETE", "/v1/connections/con_x", body), None, "{body}");
        }
    }

    #[test]
    fn unknown_routes_of_the_api_are_problem_documents() {
        for path in ["/v1", "/v1/", "/v1/conections", "/v1/connections/x/y", "//v1/connections/x/token/z"] {
            let (status, text) = answer("GET", path, "").expect(path);
            assert_eq!((status, text.contains("unknown-route")), (404, path.starts_with("/v1")), "{path}");
        }
        let request = http::Request::put("/v1/connections").body(Body::Empty).unwrap();
        let refused = Route::of(&request, Errors).unwrap_err();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["allow"]),
            (405, &"GET, POST".parse().unwrap())
        );
    }

    #[test]
    fn links_may_carry_parameters_of_mail_clients() {
        assert_eq!(answer("GET", "/connect/ck_x?utm_source=mail&utm_source=x", ""), None);
        assert_eq!(answer("GET", "/ops?ref=&days=7", ""), None);
    }

    #[test]
    fn links_work_with_a_sentences_end() {
        for end in [
            "",
            ".",
            ").",
            "]",
            "%5D",
            "%22%3E",
            "%E2%80%9D",
            "%E3%80%82",
            "%e2%80%8b",
            "/",
            "/.",
            "%20",
            "%",
            "%zz",
            "_",
            "_).",
            "-",
        ] {
            let request =
                http::Request::get(format!("/help/fal_0z{end}?utm=1")).body(Body::Empty).expect("a request");
            let route = Route::of(&request, Errors).expect(end);
            assert_eq!(route.parts(), ("GET", &["help", "fal_0z"][..]), "{end}");
        }
        assert_eq!(copied("/v1/connections/x."), "/v1/connections/x.");
        assert_eq!(copied("/..."), "");
        assert_eq!(copied("/connect/ck_a-_"), "/connect/ck_a-_");
        for end in ["a", "_", "-"] {
            let key = &*format!("/connect/ck_{:a<31}{end}", "");
            assert_eq!((copied(&format!("{key}_**.")), copied(key)), (key, key));
        }
        let minted = domain::secret::ConnectKey::mint();
        assert_eq!(minted.expose().len(), KEY_LENGTH);
        assert_eq!(domain::secret::OpsKey::mint().expose().len(), KEY_LENGTH);
        assert_eq!(copied("/connect/ck_a/trouble_"), "/connect/ck_a/trouble");
    }

    #[test]
    fn a_section_is_never_the_callers_text() {
        for (path, section) in [
            ("/v1/connections/con_x/token", "connections"),
            ("/v1/ck_secret", "other"),
            ("/v1", "other"),
            ("/connect/ck_secret", "connect"),
            ("/ck_secret", "other"),
            ("/", "other"),
        ] {
            assert_eq!(super::section(path), section, "{path}");
        }
    }
}

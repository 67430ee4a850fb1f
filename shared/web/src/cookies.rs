//! Cookies: read strictly, set with every attribute that keeps them ours.

use http::{HeaderValue, header};

use crate::{Request, Response};

/// The value of a cookie that the request has exactly once.
pub fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut found = cookies(request).filter(|(key, _)| *key == name).map(|(_, value)| value);
    let value = found.next()?;
    found.next().is_none().then_some(value)
}

/// All cookies of a request, in the order in which the browser sent them.
pub(crate) fn cookies(request: &Request) -> impl Iterator<Item = (&str, &str)> {
    request
        .headers()
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// Adds a `__Host-` cookie that the browser keeps for `age` seconds. An age of 0 clears it.
pub fn set_cookie(response: &mut Response, name: &str, value: &str, age: i64) {
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}");
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::Body;

    fn with(name: &str, value: &str) -> Request {
        http::Request::builder().header(name, value).body(Body::Empty).unwrap()
    }

    #[test]
    fn two_cookies_of_one_name_are_none() {
        assert_eq!(cookie(&with("cookie", "a=1; __Host-lk-x=2"), "__Host-lk-x"), Some("2"));
        assert_eq!(cookie(&with("cookie", "__Host-lk-x=1; __Host-lk-x=2"), "__Host-lk-x"), None);
    }
}

//! What holds of any body of `POST /v1/connections`, up to the request that is sent to Salesforce.

use std::{
    fmt,
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use domain::{
    Product,
    secret::{ConsumerSecret, RefreshToken},
};
use salesforce::{
    Hosts, Http, Registration, Salesforce,
    http::{NoAnswer, Sending, Transport},
};
use web::{Request, request};

use super::call::Call;

static PRODUCT: LazyLock<Product> = LazyLock::new(|| {
    serde_json::from_value(serde_json::json!({
        "id": "fernway", "return_addresses": ["https://app.fernway.example/return"], "api_keys": [], "redeem": true,
        "brand": {
            "name": "Fernway", "logo": null, "colour": null, "customer_word": "workspace",
            "support": { "email": "help@fernway.example", "url": null },
        },
        "apps": [{
            "id": "sync", "kind": "connected_app", "consumer_key": "3MVG9", "secret": "latchkey/app",
            "scopes": ["api", "refresh_token"], "names": ["Sync"],
            "packages": { "production": null, "sandbox": null },
            "login_hosts": ["production", "sandbox", "my_domain"], "access_token_minutes": 15,
        }],
    }))
    .expect("a product")
});

/// Keeps each request, and answers none.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<http::Request<Vec<u8>>>>>);

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent")
    }
}

impl Transport for Sent {
    fn send(&self, request: http::Request<Vec<u8>>, _timeout: Duration) -> Sending {
        self.0.lock().expect("no panic").push(request);
        Box::pin(async { Err(NoAnswer::unsent("nobody answers here")) })
    }
}

/// Reads the bytes as a body. One that is accepted makes exactly one request, with the token as it was given, to a
/// login host of Salesforce's. `true`: it was accepted.
pub(crate) fn holds(body: &[u8]) -> bool {
    let request = Request::new(body.to_vec().into());
    let Ok(call) = request::json::<Call>(&request) else { return false };
    let hosts = Hosts::salesforce();
    let Ok((app, host)) = call.check(&PRODUCT, &hosts) else { return false };
    assert_eq!(app.id, PRODUCT.apps[0].id);
    assert!(!call.customer.id.is_empty() && !call.user.is_empty());
    let is_of_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=!".contains(&b);
    assert!(
        call.refresh_token.bytes().all(is_of_token)
            && !call.refresh_token.trim_end_matches('=').contains('=')
    );
    assert!(hosts.readmit(host.origin()).is_ok(), "{host:?}");

    let sent = Sent::default();
    let salesforce = Salesforce::new(Http::through(sent.clone()), hosts);
    let secret = ConsumerSecret::new("consumer secret");
    let registration = Registration { consumer_key: &app.consumer_key, secret: &secret };
    let token = RefreshToken::new(call.refresh_token.as_str());
    let mut refresh = Box::pin(salesforce.refresh(&host, registration, &token, Duration::from_secs(15)));
    let polled = refresh.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(_))), "it waits, or was answered by nobody");
    let sent = sent.0.lock().expect("no panic");
    let [request] = &sent[..] else { panic!("{} requests", sent.len()) };
    assert_eq!(request.uri().to_string(), format!("{}/services/oauth2/token", host.origin()));
    let form: Vec<_> = url::form_urlencoded::parse(request.body()).into_owned().collect();
    let tokens: Vec<_> = form.iter().filter(|(name, _)| name == "refresh_token").collect();
    assert!(matches!(&tokens[..], [(_, token)] if *token == call.refresh_token), "{form:?}");
    true
}

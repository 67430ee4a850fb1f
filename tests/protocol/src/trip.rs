//! A user's trip to Salesforce and back: what a browser brings to the callback.

use domain::{
    Attempt, Environment, SessionId,
    secret::{BrowserSecret, ConnectKey, Hash, State},
};
use jiff::SignedDuration;
use lambda_http::Body;
use salesforce::Hosts;
use store::Begun;
use world::salesforce::{AuthorizeRequest, Host};

use crate::{
    Rig,
    rig::{CONSUMER_KEY, session},
};

const CALLBACK: &str = "https://connect.example.com/oauth/callback";

/// A session's user, who can go to Salesforce several times.
#[derive(Debug)]
pub struct Trip {
    /// The session.
    pub session: SessionId,
    key: ConnectKey,
}

impl Trip {
    /// A new session of the product's.
    pub async fn begin(rig: &Rig) -> Self {
        let key = ConnectKey::mint();
        let product = rig.product.as_ref().expect("filled");
        let session =
            domain::ConnectSession { id: key.session(), another: true, ..session(product, rig.clock.now()) };
        let id = session.id.clone();
        rig.store().create_session(&session, &Hash::of(key.expose())).await.expect("the session is stored");
        Self { session: id, key }
    }

    /// The user approves at Salesforce: the request with which the browser comes back.
    pub async fn back(&self, rig: &Rig) -> http::Request<Body> {
        let (store, now) = (rig.store(), rig.clock.now());
        let product = rig.product.as_ref().expect("filled");
        let (state, browser) = (State::mint(), BrowserSecret::mint());
        let stored = store.session(&self.session).await.expect("the table answers").expect("the session");
        let attempt = Attempt {
            id: state.attempt(),
            session: self.session.clone(),
            product: product.id.clone(),
            app: product.apps[0].id.clone(),
            customer: stored.customer,
            user: stored.user,
            reconnects: None,
            another: true,
            scopes: None,
            login_host: Self::login_host(rig),
            environment: Environment::Production,
            return_to: stored.return_to,
            browser: browser.hash(),
            began_at: now,
            expires_at: now + SignedDuration::from_mins(30),
            claimed_at: None,
        };
        let begun = store.begin_attempt(&attempt).await.expect("the table answers");
        assert!(matches!(begun, Begun::Yes), "{begun:?}");
        let request = AuthorizeRequest {
            host: Host::Login,
            consumer_key: CONSUMER_KEY.into(),
            redirect_uri: CALLBACK.into(),
            scopes: product.apps[0].scopes.clone(),
            state: Some(state.expose().to_owned()),
            code_challenge: Some(browser.pkce_challenge(&attempt.id)),
            nonce: Some(browser.nonce(&attempt.id)),
            prompt_login: false,
            prompt_consent: false,
            immediate: false,
            login_hint: None,
        };
        let user = rig.world.org("acme").users[1].username.clone();
        let code = rig.world.approved("acme", &user, request);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &code)
            .append_pair("state", state.expose())
            .finish();
        // Named after the attempt, as `web::browser_binding` does.
        let cookie =
            format!("__Host-lk-{}={}.{}", &attempt.id.as_str()[3..15], browser.expose(), self.key.expose());
        http::Request::get(format!("{CALLBACK}?{query}"))
            .header("cookie", cookie)
            .body(Body::Empty)
            .expect("a request")
    }

    fn login_host(rig: &Rig) -> String {
        let hosts = Hosts::on_this_machine(
            &rig.world.login_origin().parse().expect("an address"),
            &rig.world.test_origin().parse().expect("an address"),
            ".my.salesforce.localhost",
        );
        hosts.expect("loopback names").production().origin().to_owned()
    }
}

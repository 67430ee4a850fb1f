//! What Salesforce says of an app's configuration, asked of the world: each mistake is named, and no other.

use std::sync::Arc;

use domain::{App, secret::ConsumerSecret};
use latchkey::probe::{Finding, Probe, Verdict};
use local::stack::{consumer_secret, registration};
use salesforce::{Hosts, Http};
use world::{Clock, salesforce::Salesforce};

const CALLBACK: &str = "https://connect.example.com/oauth/callback";

struct Asked {
    app: App,
    salesforce: Salesforce,
    probe: Probe,
    _running: Arc<world::salesforce::Running>,
}

/// Fernway's app at Salesforce as its file says, but for what `change` makes of the registration.
async fn asked(app: &str, change: impl FnOnce(&mut world::salesforce::AppRegistration)) -> Asked {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../products"));
    let products = latchkey::read_products(folder).expect("good files");
    let fernway = products.into_iter().find(|product| product.id.as_str() == "fernway").expect("Fernway");
    let app = fernway.app(&app.parse().expect("an id")).expect("the app").clone();
    let salesforce = Salesforce::new(Clock::running());
    let mut registered = registration(&fernway, &app, CALLBACK);
    registered.require_pkce = true;
    change(&mut registered);
    salesforce.register_app(registered);
    let running = salesforce.serve(0).await.expect("a port");
    let origin = |origin: String| origin.parse().expect("an origin");
    let (login, test) = (origin(salesforce.login_origin()), origin(salesforce.test_origin()));
    let hosts = Hosts::on_this_machine(&login, &test, ".my.salesforce.localhost").expect("this machine");
    let probe = Probe::new(Http::on_this_machine(), hosts);
    Asked { app, salesforce, probe, _running: Arc::new(running) }
}

impl Asked {
    async fn findings(&self, callback: &str, secret: &str) -> Vec<Finding> {
        self.probe.app(&self.app, callback, &[("secret", ConsumerSecret::new(secret))]).await
    }
}

/// What is not right, at production's login host.
fn not_right(findings: &[Finding]) -> Vec<(&'static str, Verdict)> {
    let production = findings.iter().filter(|finding| finding.host.starts_with("login."));
    production
        .filter(|finding| finding.verdict != Verdict::Right)
        .map(|finding| (finding.setting, finding.verdict))
        .collect()
}

#[tokio::test]
async fn what_is_right_is_right_at_every_login_host_and_no_user_is_needed() {
    for app in ["sync", "insights"] {
        let asked = asked(app, |_| {}).await;
        let findings = asked.findings(CALLBACK, &consumer_secret(&asked.app)).await;
        assert_eq!(findings.len(), 8, "{findings:?}");
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Right), "{findings:?}");
        assert!(asked.salesforce.grants().is_empty());
    }
}

#[tokio::test]
async fn a_wrong_consumer_key_is_named_and_nothing_is_said_of_what_salesforce_did_not_look_at() {
    let asked = asked("sync", |app| app.consumer_key = "3MVG9Another".into()).await;
    let findings = asked.findings(CALLBACK, &consumer_secret(&asked.app)).await;
    let rest = ["callback_url", "pkce", "secret"].map(|setting| (setting, Verdict::Unknown));
    assert_eq!(
        not_right(&findings),
        [&[("consumer_key", Verdict::Wrong)], &rest[..]].concat(),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_callback_url_that_is_not_listed_to_the_letter_is_named() {
    let asked = asked("sync", |_| {}).await;
    let findings = asked.findings(&format!("{CALLBACK}/"), &consumer_secret(&asked.app)).await;
    assert_eq!(
        not_right(&findings),
        [("callback_url", Verdict::Wrong), ("pkce", Verdict::Unknown)],
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_wrong_secret_is_named_and_not_shown() {
    let asked = asked("insights", |_| {}).await;
    let findings = asked.findings(CALLBACK, "hunter2hunter2").await;
    assert_eq!(not_right(&findings), [("secret", Verdict::Wrong)], "{findings:?}");
    assert!(!format!("{findings:?}").contains("hunter2"), "{findings:?}");
}

#[tokio::test]
async fn pkce_that_salesforce_does_not_ask_for_is_said() {
    for app in ["sync", "insights"] {
        let asked = asked(app, |app| app.require_pkce = false).await;
        let findings = asked.findings(CALLBACK, &consumer_secret(&asked.app)).await;
        assert_eq!(not_right(&findings), [("pkce", Verdict::Lax)], "{findings:?}");
    }
}

#[tokio::test]
async fn no_answer_says_nothing_of_any_setting() {
    let asked = asked("sync", |_| {}).await;
    asked.salesforce.set_unreachable(true);
    let findings = asked.findings(CALLBACK, &consumer_secret(&asked.app)).await;
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Unknown), "{findings:?}");
}

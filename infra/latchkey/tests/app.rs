//! Apps at Salesforce, asked of the world: each mistake of a configuration is named, and no other; a secret is rotated without a gap.

use std::sync::Arc;

use domain::{App, Environment, secret::ConsumerSecret};
use latchkey::{
    app::{self, Rotation, Subject},
    deployment::SecretsManager,
    keyring,
    probe::{Finding, Probe, Verdict},
};
use local::stack::{consumer_secret, registration};
use platform::Aws;
use salesforce::{Hosts, Http};
use secrecy::ExposeSecret;
use store::{Field, Owner, Secrets, Store, TokenCipher};
use world::{Clock, dynamodb::DynamoDb, salesforce::Salesforce};

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

/// An app whose secret is held, the product in a table, and Salesforce.
struct Rotating {
    asked: Asked,
    secrets: world::secrets::SecretsManager,
    manager: SecretsManager,
    subject: Subject,
    _dynamodb: DynamoDb,
}

impl Rotating {
    async fn begin() -> Self {
        Self::with(|_| {}).await
    }

    /// With what `change` makes of each app in the product files.
    async fn with(change: impl Fn(&mut App)) -> Self {
        let asked = asked("sync", |_| {}).await;
        let (secrets, dynamodb) =
            (world::secrets::SecretsManager::start().await, DynamoDb::start(None).await);
        let aws = Aws {
            region: "eu-central-1".into(),
            credentials: aws_credential_types::Credentials::new("local", "local", None, None, "test"),
            dynamodb: Some(dynamodb.endpoint().to_owned()),
            secrets_manager: Some(secrets.endpoint().to_owned()),
            sqs: None,
            eventbridge: None,
        };
        let store = Store::new(aws.dynamodb_client(), "latchkey");
        store.create_table().await.expect("a table");
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../products"));
        for mut product in latchkey::read_products(folder).expect("good files") {
            product.apps.iter_mut().for_each(&change);
            store.put_product(&product).await.expect("the table can be written");
        }
        let subject =
            Subject::of(&store, &"fernway".parse().expect("an id"), &asked.app.id).await.expect("the app");
        let manager = SecretsManager::of(&aws);
        let first = ConsumerSecret::new(consumer_secret(&asked.app));
        app::set_secret(&subject, &first, &manager, false, false).await.expect("stored");
        Self { asked, secrets, manager, subject, _dynamodb: dynamodb }
    }

    async fn step(&self, step: Rotation) -> Result<String, String> {
        let done = app::rotate(&self.subject, step, &self.asked.probe, &self.manager, false).await;
        done.map(|report| report.text).map_err(|error| error.to_string())
    }

    async fn held(&self) -> (String, Option<String>) {
        let held = self.manager.secrets().consumer(&self.asked.app.secret).await.expect("a secret");
        (held.current.expose().to_owned(), held.next.map(|next| next.expose().to_owned()))
    }

    /// Somebody applies the next secret at Salesforce.
    fn switch(&self, to: &str) {
        let mut app = self.asked.salesforce.read(|state| state.apps[0].clone());
        app.consumer_secret = to.into();
        self.asked.salesforce.register_app(app);
    }
}

#[tokio::test]
async fn a_secret_is_rotated_without_a_gap_and_salesforce_has_the_last_word() {
    let rotating = Rotating::begin().await;
    let first = consumer_secret(&rotating.asked.app);

    rotating.step(Rotation::Stage(ConsumerSecret::new("next-secret"))).await.expect("staged");
    assert_eq!(rotating.held().await, (first.clone(), Some("next-secret".into())), "functions try both");
    let too_soon = rotating.step(Rotation::Finish).await.expect_err("Salesforce does not take it yet");
    assert!(too_soon.contains("stays beside"), "{too_soon}");
    assert_eq!(rotating.held().await, (first, Some("next-secret".into())), "nothing was lost");

    rotating.switch("next-secret");
    let too_late = rotating.step(Rotation::BackOut).await.expect_err("Salesforce has switched");
    assert!(too_late.contains("the way is on, with finish"), "{too_late}");
    let done = rotating.step(Rotation::Finish).await.expect("Salesforce takes it");
    assert!(!done.contains("next-secret"), "{done}");
    assert_eq!(rotating.held().await, ("next-secret".into(), None));
}

#[tokio::test]
async fn a_rotation_is_backed_out_while_salesforce_takes_the_current_secret() {
    let rotating = Rotating::begin().await;
    let first = consumer_secret(&rotating.asked.app);
    rotating.step(Rotation::Stage(ConsumerSecret::new("mistyped"))).await.expect("staged");
    let status = rotating.step(Rotation::Status).await.expect("asked");
    assert!(status.contains("WRONG") && !status.contains("mistyped"), "{status}");

    rotating.step(Rotation::BackOut).await.expect("backed out");

    assert_eq!(rotating.held().await, (first, None));
    let report = app::check(&rotating.subject, &rotating.asked.probe, &rotating.manager, CALLBACK)
        .await
        .expect("asked");
    assert!(!report.wrong, "{}", report.text);
}

#[tokio::test]
async fn a_next_secret_that_salesforce_may_use_already_is_not_written_over() {
    let rotating = Rotating::begin().await;
    let held = (consumer_secret(&rotating.asked.app), Some("next-secret".to_owned()));
    rotating.step(Rotation::Stage(ConsumerSecret::new("next-secret"))).await.expect("staged");

    let other = rotating.step(Rotation::Stage(ConsumerSecret::new("another"))).await.expect_err("one stands");
    assert!(other.contains("finish") && other.contains("back-out"), "{other}");
    assert_eq!(rotating.held().await, held);
    rotating.step(Rotation::Stage(ConsumerSecret::new("next-secret"))).await.expect("the same, again");
    assert_eq!(rotating.held().await, held);
}

#[tokio::test]
async fn nothing_is_dropped_while_salesforce_cannot_be_asked() {
    let rotating = Rotating::begin().await;
    let held = (consumer_secret(&rotating.asked.app), Some("next-secret".to_owned()));
    rotating.step(Rotation::Stage(ConsumerSecret::new("next-secret"))).await.expect("staged");
    rotating.asked.salesforce.set_unreachable(true);
    for step in [Rotation::BackOut, Rotation::Finish] {
        let unknown = rotating.step(step).await.expect_err("not known");
        assert!(unknown.contains("stays"), "{unknown}");
        assert_eq!(rotating.held().await, held);
    }
}

#[tokio::test]
async fn after_finish_the_way_back_is_open_where_salesforce_takes_the_previous_secret() {
    let rotating = Rotating::begin().await;
    let first = consumer_secret(&rotating.asked.app);
    rotating.step(Rotation::Stage(ConsumerSecret::new("next-secret"))).await.expect("staged");
    rotating.switch("next-secret");
    rotating.step(Rotation::Finish).await.expect("Salesforce takes it");

    let too_soon = rotating.step(Rotation::BackOut).await.expect_err("Salesforce has the new one alone");
    assert!(too_soon.contains("the current secret stays"), "{too_soon}");
    assert_eq!(rotating.held().await, ("next-secret".into(), None), "functions try no previous one");

    rotating.switch(&first);
    rotating.step(Rotation::BackOut).await.expect("Salesforce has gone back");
    assert_eq!(rotating.held().await, (first.clone(), None));
    rotating.switch("next-secret");
    rotating.step(Rotation::BackOut).await.expect("and on again");
    assert_eq!(rotating.held().await, ("next-secret".into(), None));

    rotating.step(Rotation::Stage(ConsumerSecret::new("third"))).await.expect("staged");
    rotating.step(Rotation::BackOut).await.expect("dropped");
    let nothing = rotating.step(Rotation::BackOut).await.expect("no more to go back to");
    assert!(nothing.contains("no previous"), "{nothing}");
}

#[tokio::test]
async fn an_app_of_my_domains_alone_is_asked_at_the_org_that_is_named() {
    let mut rotating = Rotating::with(|app| app.login_hosts = vec![Environment::MyDomain]).await;
    rotating.asked.salesforce.install("acme", &rotating.asked.app.consumer_key).expect("it can be installed");
    let check = async |rotating: &Rotating| {
        let asked = app::check(&rotating.subject, &rotating.asked.probe, &rotating.manager, CALLBACK).await;
        asked.expect("it ends")
    };
    rotating.step(Rotation::Stage(ConsumerSecret::new("next-secret"))).await.expect("staged");
    rotating.switch("next-secret");
    let nowhere = check(&rotating).await;
    assert!(nowhere.wrong && nowhere.text.contains("--host"), "{}", nowhere.text);
    let unasked = rotating.step(Rotation::Finish).await.expect_err("nobody was asked");
    assert!(unasked.contains("--host"), "{unasked}");

    let org = url::Url::parse(&rotating.asked.salesforce.my_domain("acme")).expect("an address");
    let host = org.host_str().expect("a host").to_owned();
    rotating.asked.probe = rotating.asked.probe.clone().and_at(&[host]).expect("an org's host");
    rotating.step(Rotation::Finish).await.expect("the org takes it");
    let asked = check(&rotating).await;
    assert!(!asked.wrong, "{}", asked.text);
}

#[tokio::test]
async fn a_rotated_keyring_seals_with_a_new_key_and_opens_with_the_old() {
    let rotating = Rotating::begin().await;
    rotating
        .secrets
        .put("keyring", r#"{"current":"v1","v1":"0123456789abcdefghijklmnopqrstuvwxyz0123456789ab"}"#);
    let vault = |secrets: Secrets| TokenCipher::new(secrets, "keyring");
    let (product, connection) =
        ("fernway".parse().expect("an id"), domain::ConnectionId::mint(jiff::Timestamp::UNIX_EPOCH));
    let owner = Owner { product: &product, connection: &connection };
    let before =
        vault(rotating.manager.secrets()).seal(owner, Field::AccessToken, "token").await.expect("sealed");

    keyring::rotate(&rotating.manager, "keyring", false).await.expect("rotated");

    let after = vault(rotating.manager.secrets());
    let opened = after.open(owner, Field::AccessToken, &before).await.expect("opened with the old key");
    assert_eq!(opened.expose_secret(), "token");
    let sealed = after.seal(owner, Field::AccessToken, "token").await.expect("sealed");
    assert!(serde_json::to_string(&sealed).expect("text").starts_with("\"v2."), "{sealed:?}");
}

//! The doctor: each setting that is wrong is named, and no other; from which address Salesforce is called, by what the
//! function sees of an echo and what the command makes of what Lambda answers.
#![expect(clippy::disallowed_methods, reason = "nothing else writes to the table of a test")]

use aws_sdk_dynamodb::types::{AttributeValue, TimeToLiveSpecification};
use domain::{product::ApiKeyDigest, secret::Hash};
use platform::Aws;
use salesforce::egress::{Egress, Seen};
use serde_json::{Value, json};
use store::{Fallback, Store};
use world::{dynamodb::DynamoDb, echo::Echo, secrets::SecretsManager};

const SWEEP: &str = "arn:aws:lambda:eu-central-1:123456789012:function:latchkey-dev-SweepFunction-1H2G:live";

#[tokio::test]
async fn a_function_is_seen_where_its_requests_come_from() {
    let echo = Echo::start().await;
    let egress = Egress::on_this_machine(&echo.address().parse().unwrap()).unwrap();
    assert_eq!(egress.observe().await, Seen::Address("127.0.0.1".parse().unwrap()));

    let large = "1".repeat(1_000_000);
    for (status, body) in [
        (200, "<html>203.0.113.7</html>"),
        (200, ""),
        (200, large.as_str()),
        (302, "203.0.113.7\n"), // followed nowhere
        (503, "203.0.113.7\n"),
    ] {
        echo.answers(status, body);
        let seen = egress.observe().await;
        assert!(matches!(&seen, Seen::Unseen(why) if why.starts_with(echo.address())), "{status}: {seen:?}");
    }
}

/// A deployment as the template sets it, its products applied, and a Lambda that answers this.
struct Deployment {
    dynamodb: DynamoDb,
    secrets: SecretsManager,
    lambda: Echo,
    store: Store,
}

const PRODUCTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../products");

impl Deployment {
    async fn start() -> Self {
        let (dynamodb, secrets) = (DynamoDb::start(None).await, SecretsManager::start().await);
        let aws = Aws {
            region: "eu-central-1".into(),
            credentials: aws_credential_types::Credentials::new("local", "local", None, None, "test"),
            dynamodb: Some(dynamodb.endpoint().to_owned()),
            secrets_manager: None,
            sqs: None,
            eventbridge: None,
        };
        let store = Store::new(aws.dynamodb_client(), "table");
        store.create_table().await.expect("a table");
        Fallback::new(aws.dynamodb_client(), "fallback").create_table().await.expect("a table");
        let deployment = Self { dynamodb, secrets, lambda: Echo::start().await, store };
        for table in ["table", "fallback"] {
            deployment.protect(table, true).await;
            deployment.dynamodb.back_up(table, true);
        }
        deployment.expire(true).await;
        deployment.secrets.put("keyring", &json!({ "current": "v1", "v1": "k".repeat(64) }).to_string());
        for product in latchkey::read_products(PRODUCTS.as_ref()).expect("good files") {
            deployment.store.put_product(&product).await.expect("the table can be written");
            for app in product.apps {
                deployment.secrets.put(&app.secret, r#"{"current":"secret"}"#);
            }
        }
        deployment
    }

    async fn protect(&self, table: &str, on: bool) {
        let update = self.store.client().update_table().table_name(table).deletion_protection_enabled(on);
        update.send().await.expect("the table can be changed");
    }

    async fn expire(&self, on: bool) {
        let ttl =
            TimeToLiveSpecification::builder().attribute_name("ttl").enabled(on).build().expect("whole");
        let update =
            self.store.client().update_time_to_live().table_name("table").time_to_live_specification(ttl);
        update.send().await.expect("the table can be changed");
    }

    /// What the doctor finds wrong, but for the door, which no test can open: the name, and why.
    async fn wrong(&self) -> Vec<(String, String)> {
        let findings = self.findings(&[]).await.into_iter();
        let wrong = findings.filter(|(what, good, _)| !good && what != "the API");
        wrong.map(|(what, _, why)| (what, why)).collect()
    }

    /// What the doctor says of what was seen: whether it is good, and why.
    async fn doctor(&self, more: &[&str]) -> Vec<(bool, String)> {
        let findings = self.findings(more).await.into_iter();
        findings.filter(|(what, ..)| what == "egress as seen").map(|(_, good, why)| (good, why)).collect()
    }

    /// All that the doctor finds.
    async fn findings(&self, more: &[&str]) -> Vec<(String, bool, String)> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.args(["doctor", "--json"]).args(more).env_clear().envs([
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.endpoint()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.endpoint()),
            ("AWS_ENDPOINT_URL_LAMBDA", self.lambda.address()),
            ("TABLE_NAME", "table"),
            ("FALLBACK_TABLE_NAME", "fallback"),
            ("KEYRING_SECRET_ID", "keyring"),
            ("PUBLIC_URL", "https://latchkey.invalid"),
            ("LATCHKEY_PRODUCTS", PRODUCTS),
            ("SWEEP_FUNCTION", SWEEP),
        ]);
        let output =
            tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("it ends");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        let text = |finding: &Value, member: &str| finding[member].as_str().expect("text").to_owned();
        let findings: Vec<_> = said["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .map(|finding| (text(finding, "what"), finding["good"] == true, text(finding, "why")))
            .collect();
        let healthy = findings.iter().all(|(_, good, _)| *good);
        assert_eq!(output.status.code(), Some(if healthy { 0 } else { 3 }), "{findings:?}");
        findings
    }
}

#[tokio::test]
async fn the_doctor_names_each_setting_that_is_wrong_and_no_other() {
    let deployment = Deployment::start().await;
    deployment.lambda.answers(200, r#"{"address":"192.0.2.1"}"#);
    assert_eq!(deployment.wrong().await, [], "as the template sets it");
    let client = deployment.store.client();
    let names = async |what: &str, says: &str| {
        let wrong = deployment.wrong().await;
        let [(found, why)] = &wrong[..] else { panic!("{what}: {wrong:?}") };
        assert!(found == what && why.contains(says), "{wrong:?}");
    };

    for table in ["table", "fallback"] {
        deployment.protect(table, false).await;
        names(&format!("table {table}"), "deletion protection is off").await;
        deployment.protect(table, true).await;
        deployment.dynamodb.back_up(table, false);
        names(&format!("backups of {table}"), "point-in-time recovery is off").await;
        deployment.dynamodb.back_up(table, true);
    }
    deployment.expire(false).await;
    names("time to live", "never deleted").await;
    deployment.expire(true).await;

    let key = |value: &str| AttributeValue::S(value.into());
    let waiting = client.put_item().table_name("fallback").item("pk", key("CONNECTION#con_1"));
    waiting.item("sk", key("AFTER#x")).send().await.expect("the fallback can be written");
    names("the fallback", "1 answers wait").await;
    let emptied = client.delete_item().table_name("fallback").key("pk", key("CONNECTION#con_1"));
    emptied.key("sk", key("AFTER#x")).send().await.expect("the fallback can be written");

    deployment.secrets.put("keyring", r#"{"current":"v2","v1":"short"}"#);
    names("the keyring", "keyring").await;
    deployment.secrets.put("keyring", &json!({ "current": "v1", "v1": "k".repeat(64) }).to_string());

    let id = "fernway".parse().expect("an id");
    let fernway = deployment.store.product(&id).await.expect("the table answers").expect("Fernway");
    deployment.secrets.remove(&fernway.apps[0].secret);
    names(&format!("secret of fernway/{}", fernway.apps[0].id), &fernway.apps[0].secret).await;
    deployment.secrets.put(&fernway.apps[0].secret, r#"{"current":"secret"}"#);

    let mut changed = fernway.clone();
    changed.brand.customer_word = "team".into();
    deployment.store.put_product(&changed).await.expect("the table can be written");
    names("product fernway", "latchkey apply").await;
    deployment.store.put_product(&fernway).await.expect("the table can be written");

    let mut gone = fernway;
    gone.id = "gone".parse().expect("an id");
    gone.api_keys.push(ApiKeyDigest { id: "k1".into(), hash: Hash::of("a key") });
    deployment.store.put_product(&gone).await.expect("the table can be written");
    names("product gone", "latchkey apply --prune").await;
    gone.api_keys.clear();
    deployment.store.put_product(&gone).await.expect("the table can be written");
    assert_eq!(deployment.wrong().await, []);
}

#[tokio::test]
async fn the_doctor_says_what_lambda_told_and_what_to_do() {
    let deployment = Deployment::start().await;
    for (status, answer, good, says) in [
        (200, r#"{"address":"192.0.2.1"}"#, true, "192.0.2.1, as it should be"),
        (200, r#"{"address":"192.0.2.2"}"#, false, "192.0.2.2 is none of the stack's EgressAddresses"),
        (200, r#"{"unseen":"no whole answer in time"}"#, false, "no whole answer in time"),
        (200, r#"{"lost":0,"unredeemed":0}"#, false, "is it older than this command?"),
        (429, r#"{"Type":"User"}"#, false, "ask again in some minutes"),
        (403, "{}", false, "lambda:InvokeFunction on arn:aws:lambda:"),
        (404, "{}", false, "there is no arn:aws:lambda:"),
        (500, "{}", false, "Lambda answered 500"),
    ] {
        deployment.lambda.answers(status, answer);
        let findings =
            deployment.doctor(&["--egress-address", "192.0.2.1", "--allowed-address", "192.0.2.1"]).await;
        assert_eq!(findings.len(), 1, "{answer}: {findings:?}");
        assert!(findings[0].0 == good && findings[0].1.contains(says), "{answer}: {findings:?}");
    }

    deployment.lambda.answers(200, r#"{"address":"192.0.2.1"}"#);
    let [one_of_two] = &deployment.doctor(&["--egress-address", "192.0.2.1 192.0.2.2"]).await[..] else {
        panic!("one address was seen")
    };
    assert!(one_of_two.0 && one_of_two.1.contains("1 of 2 addresses"), "{one_of_two:?}");
    let [unfixed] = &deployment.doctor(&[]).await[..] else { panic!("one address was seen") };
    assert!(unfixed.0 && unfixed.1.contains("one of AWS's"), "{unfixed:?}");
}

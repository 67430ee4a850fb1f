//! From which address Salesforce is called, as the doctor finds out: what the function sees of an echo, and what the
//! command makes of what Lambda answers.

use salesforce::egress::{Egress, Seen};
use serde_json::Value;
use service::platform::Aws;
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

/// A deployment of which only Lambda is asked, and that answers this.
struct Deployment {
    dynamodb: DynamoDb,
    secrets: SecretsManager,
    lambda: Echo,
}

impl Deployment {
    async fn start() -> Self {
        let (dynamodb, secrets) = (DynamoDb::start(None).await, SecretsManager::start().await);
        let aws = Aws {
            region: "eu-central-1".into(),
            credentials: aws_credential_types::Credentials::new("local", "local", None, None, "test"),
            dynamodb: Some(dynamodb.endpoint().to_owned()),
            secrets_manager: None,
        };
        Store::new(aws.dynamodb_client(), "table").create_table().await.expect("a table");
        Fallback::new(aws.dynamodb_client(), "fallback").create_table().await.expect("a table");
        Self { dynamodb, secrets, lambda: Echo::start().await }
    }

    /// What the doctor says of what was seen: whether it is good, and why.
    async fn doctor(&self, more: &[&str]) -> Vec<(bool, String)> {
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
            ("LATCHKEY_PRODUCTS", concat!(env!("CARGO_MANIFEST_DIR"), "/../products")),
            ("SWEEP_FUNCTION", SWEEP),
        ]);
        let output =
            tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("it ends");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        let findings = said["findings"].as_array().expect("findings").iter();
        findings
            .filter(|finding| finding["what"] == "egress as seen")
            .map(|finding| (finding["good"] == true, finding["why"].as_str().expect("why").to_owned()))
            .collect()
    }
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

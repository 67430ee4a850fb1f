//! A hostile authorization server: every named fault of the world at every endpoint that Latchkey calls.
//!
//! [`fate`] says what must come of each. Then the server is healthy again, and every grant whose answer reached a living
//! process yields a token without its user. No refresh token is sent more than twice: once, and in the one recovery.

mod exchange;
mod fate;
mod import;
mod other_endpoints;
mod outage;
mod refresh;

use jiff::SignedDuration;
use journeys::{Answer, Story};
use local::{
    logs::{LevelFilter, Logs},
    stack::FALLBACK,
};
use serde_json::json;
use world::salesforce::{Misbehavior, catalog};

/// Longer than the 15 minutes for which an access token is taken to live, and than any backoff or recovery waits.
const STALE: SignedDuration = SignedDuration::from_mins(16);

/// How often a connection is asked for a token until it has to work, [`STALE`] apart.
const TRIES: u8 = 3;

/// Hundreds of refreshes and connects: what libraries say of each byte is searched for secrets in other stories.
fn keep_few_logs() {
    Logs::keep_from(LevelFilter::INFO);
}

/// A stack in which Acme's admin has installed Fernway's app.
async fn installed() -> Story {
    keep_few_logs();
    Story::installed().await
}

/// The faults that are chosen, each with a customer of its own.
fn chosen(choose: impl Fn(&Misbehavior) -> bool) -> Vec<(String, Misbehavior)> {
    let chosen: Vec<_> = catalog()
        .into_iter()
        .filter(|fault| choose(fault))
        .enumerate()
        .map(|(number, fault)| (format!("customer{number}"), fault))
        .collect();
    assert!(!chosen.is_empty(), "no fault was chosen");
    chosen
}

/// Fails with every fault that had another outcome than it must have.
fn assert_none_wrong(met: usize, wrong: &[String]) {
    assert!(wrong.is_empty(), "{} of {met} faults:\n{}", wrong.len(), wrong.join("\n"));
}

/// A new org with one user, and the refresh token that its user granted to Fernway.
fn granted(story: &Story, customer: &str) -> String {
    let org = story.stack.salesforce.add_customer(customer);
    let key = &story.stack.app("fernway", "sync").consumer_key;
    let user = &org.users[1].username;
    let granted = story.stack.salesforce.granted(&org.name, user, key);
    let token = granted["refresh_token"].as_str().expect("a refresh token").to_owned();
    story.secrets.keep("refresh token", &token);
    token
}

/// Fernway imports a refresh token.
async fn import(story: &Story, customer: &str, token: &str) -> Answer {
    let call = json!({
        "app": "sync",
        "customer": { "id": format!("c-{customer}"), "name": customer },
        "user": "u-alice",
        "environment": "production",
        "refresh_token": token,
    });
    story.call("POST", "/v1/connections", Some(call)).await
}

/// A connection of a new org.
async fn connection(story: &Story, customer: &str) -> String {
    let token = granted(story, customer);
    let imported = import(story, customer, &token).await;
    assert_eq!(imported.status, 201, "{}", imported.body);
    imported.text("id").to_owned()
}

/// Asks for a token until one works, with time between: the last answer.
async fn ask_until_it_works(story: &Story, connection: &str) -> Answer {
    let mut answer = story.token(connection).await;
    for _ in 1..TRIES {
        if answer.status == 200 {
            break;
        }
        story.pass(STALE);
        answer = story.token(connection).await;
    }
    answer
}

/// Whether the token of an answer is accepted at Salesforce.
async fn works(story: &Story, token: &Answer) -> bool {
    token.status == 200 && story.salesforce_says(token).await == 200
}

/// How many answers that fail a check are kept.
fn quarantined(story: &Story) -> usize {
    let kept = story.stack.dynamodb.dump(FALLBACK);
    kept.iter().filter(|item| item.get("quarantined_at").is_some()).count()
}

/// How often the refresh token that was sent most often was sent, since this was asked last.
fn most_uses(story: &Story) -> u32 {
    let uses = story.stack.salesforce.refresh_token_uses();
    story.stack.salesforce.change(|state| state.presented.clear());
    uses.first().map_or(0, |(_, most)| *most)
}

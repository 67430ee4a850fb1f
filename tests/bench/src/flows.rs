//! What each flow asks of DynamoDB: counted, not timed. The counts are tests (`tests/journeys/tests/figures.rs`,
//! `tests/protocol/tests/cost.rs`); here they stand beside the bill.

use jiff::SignedDuration;
use journeys::Story;
use world::dynamodb::{DynamoRequest, Kind};

use crate::report::{Section, number};

/// On demand, us-east-1, November 2026: dollars a million units.
const READ: f64 = 0.125;
const WRITE: f64 = 0.625;

/// The table.
pub(crate) async fn measure() -> Section {
    let story = Story::installed().await;
    let mut section = Section::new("DynamoDB, by flow");
    let dynamodb = &story.stack.dynamodb;
    let mut row = |what: &str| {
        let requests: Vec<DynamoRequest> = dynamodb.requests();
        let reads = requests.iter().filter(|request| request.kind == Kind::Read).count();
        let (read, written): (f64, f64) = (
            requests.iter().map(|request| request.read_units).sum(),
            requests.iter().map(|request| request.write_units).sum(),
        );
        let dollars = read * READ + written * WRITE;
        section.row(
            what,
            format!("{reads} reads, {} writes", requests.len() - reads),
            format!("{read} read and {written} write units: ${} a million", number(dollars)),
        );
        dynamodb.reset_counts();
    };
    dynamodb.reset_counts();
    let connection = story.connected().await;
    row("a connect, cold, from the session to the product's list of connections");
    story.token(&connection).await;
    row("a fresh token, a minute after the last");
    story.token(&connection).await;
    row("a fresh token");
    story.pass(SignedDuration::from_mins(16));
    story.token(&connection).await;
    row("a refresh, the product read anew");
    story.call("GET", "/v1/connections", None).await;
    row("a list");
    story.stack.sweep().await;
    row("a sweep, nothing due");
    section
}

//! Bad input, a journey each: a clear error to the person, the exact cause in the log, nothing secret anywhere,
//! nothing lost.

mod addresses;
mod api;
mod parameters;
mod queries;
mod whose;

use journeys::{Story, leaks::Places};

#[tokio::test]
#[should_panic(expected = "stands in the log")]
async fn what_stands_in_the_log_would_be_found() {
    let story = Story::begin().await;
    story.call_with("lk_nobody", &[], "GET", "/v1/connections", None).await;
    story.secrets.keep("word", "An API key is needed");
    story.nothing_leaked().await;
}

#[tokio::test]
#[should_panic(expected = "stands in the table")]
async fn what_stands_in_the_table_would_be_found() {
    let story = Story::begin().await;
    story.secrets.keep("word", "Tidewater Analytics");
    let items = story.places().items;
    story.nothing_leaked_to(Places { items, ..Places::default() }).await;
}

//! Parameters doubled, missing, huge, not UTF-8; an error and a code at once.

use journeys::{Returning, says};
use world::browser::{RawAnswer, RawRequest};

const STRAY: &str = "We cannot finish this sign-in";

/// Alice's browser sends these very bytes to the callback.
async fn callback(again: &Returning, query: impl AsRef<[u8]>) -> RawAnswer {
    let origin = &again.story.stack.latchkey;
    let cookies = again.alice.cookie_header(origin).expect("the attempt's cookie");
    let target = [b"/oauth/callback".as_slice(), query.as_ref()].concat();
    RawRequest::new("GET", target)
        .header("Host", "latchkey.localhost")
        .header("Cookie", cookies)
        .send(origin)
        .await
}

/// A page of ours, from the bytes.
fn is_page(answer: &RawAnswer, status: u16, heading: &str) {
    assert_eq!(answer.status, status, "{}", answer.head);
    assert!(answer.body.contains(&format!("<h1>{heading}</h1>")), "{}", answer.body);
}

#[tokio::test]
async fn without_a_readable_state_it_is_nobodys() {
    let again = Returning::begin().await;
    let answer = again.answer().await;
    let query = answer.query().expect("a query");
    let code = query.split('&').find(|pair| pair.starts_with("code=")).expect("a code");

    for (what, query) in [
        ("nothing", String::new()),
        ("no query", "?".into()),
        ("no state", format!("?{code}")),
        ("an empty state", format!("?state=&{code}")),
        ("a state that is not UTF-8", format!("?state=%ff%fe&{code}")),
        ("60 kB of state", format!("?state={}&{code}", "s".repeat(60_000))),
    ] {
        let answer = callback(&again, &query).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.head);
        is_page(&answer, 400, STRAY);
    }
    // More than an http::Uri holds, and API Gateway lets by, ends at the server's door.
    for more in [format!("?{query}&more={}", "m".repeat(100_000)), format!("?state={}", "s".repeat(100_000))]
    {
        assert_eq!(callback(&again, &more).await.status, 414);
    }
    assert!(again.story.logs.text().contains("the query names no attempt"));
    let home = again.alice.get(answer.as_str()).await;
    assert!(home.has("Your Salesforce accounts"), "none of it spent the attempt: {home:?}");
    again.ends_well().await;
}

/// A known attempt of this browser whose answer is none of Salesforce's: recorded, with a page.
async fn unclear(change: impl FnOnce(&str, &str) -> String, why: &str) {
    let again = Returning::begin().await;
    let answer = again.answer().await;
    let query = answer.query().expect("a query");
    let state = query.split('&').find(|pair| pair.starts_with("state=")).expect("a state");
    let code = query.split('&').find(|pair| pair.starts_with("code=")).expect("a code");
    again.story.stack.salesforce.forget_calls();

    let page = again
        .alice
        .get(&format!("{}/oauth/callback?{}", again.story.stack.latchkey, change(state, code)))
        .await;

    says(&page, 200, "Salesforce answered with something that we could not read.");
    assert!(page.has("Fernway") && page.has("LK-"), "{page:?}");
    assert!(again.story.logs.text().contains(why), "{why}");
    assert!(again.story.stack.salesforce.token_calls().is_empty(), "the code was not sent");
    again.ends_well().await;
}

#[tokio::test]
async fn what_else_is_in_the_query_does_not_hide_an_approval() {
    let again = Returning::begin().await;
    for around in ["more=%c3%28".to_owned(), format!("more={}", "m".repeat(20_000)), "x=1&".repeat(4_000)] {
        let answer = again.answer().await;
        let home = again.alice.get(&format!("{answer}&{around}")).await;
        assert!(home.has("Your Salesforce accounts"), "{around:.40}: {home:?}");
    }
    again.ends_well().await;
}

#[tokio::test]
async fn an_error_counts_beside_a_code_or_another_error() {
    let again = Returning::begin().await;
    for more in ["code=c", "error=invalid_scope"] {
        let answer = again.answer().await;
        let query = answer.query().expect("a query");
        let state = query.split('&').find(|pair| pair.starts_with("state=")).expect("a state");
        again.story.stack.salesforce.forget_calls();

        let url = format!("{}/oauth/callback?{state}&error=access_denied&{more}", again.story.stack.latchkey);
        let page = again.alice.get(&url).await;

        assert!(page.url.path().starts_with("/help/") && page.has("LK-"), "{page:?}");
        assert!(again.story.stack.salesforce.token_calls().is_empty(), "no code was sent");
    }
    let listed = again.story.call("GET", "/v1/failures", None).await;
    let codes: Vec<_> =
        listed.body["failures"].as_array().expect("a list").iter().map(|f| &f["code"]).collect();
    assert_eq!(codes, ["access_denied", "access_denied"]);
    again.ends_well().await;
}

#[tokio::test]
async fn two_codes_are_none() {
    unclear(|state, code| format!("{state}&{code}&{code}"), "the state or the code was given twice").await;
}

#[tokio::test]
async fn neither_a_code_nor_an_error_is_no_answer() {
    unclear(|state, _| state.to_owned(), "neither a code nor an error came").await;
}

#[tokio::test]
async fn an_empty_code_is_none() {
    unclear(|state, _| format!("{state}&code="), "neither a code nor an error came").await;
}

#[tokio::test]
async fn a_code_of_ten_kilobytes_is_none() {
    unclear(|state, _| format!("{state}&code={}", "c".repeat(10_000)), "the code cannot be one").await;
}

#[tokio::test]
async fn what_an_error_says_is_shown_as_text_and_kept_short() {
    let again = Returning::begin().await;
    let answer = again.answer().await;
    let state = answer.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let mut url = answer.clone();
    let description =
        format!("<script>alert(1)</script>\u{7}\r\nLocation: https://evil.example {}", "d".repeat(9_000));
    url.query_pairs_mut().clear().extend_pairs([
        ("state", state.as_str()),
        ("error", "<img src=x onerror=alert(1)>"),
        ("error_description", description.as_str()),
    ]);

    let page = again.alice.get(url.as_str()).await;

    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("&#60;script&#62;") || page.body.contains("&lt;script&gt;"), "shown as text");
    assert!(!page.body.contains("<script>alert") && !page.body.contains("<img src=x"), "and as nothing else");
    assert!(!page.body.contains(&"d".repeat(501)), "kept to 500 characters");
    again.ends_well().await;
}

#[tokio::test]
async fn a_form_that_cannot_be_read_is_refused_and_begins_nothing() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let path = url::Url::parse(&link).expect("an address").path().to_owned();
    let origin = &again.story.stack.latchkey;

    for (to, body) in [
        (path.clone(), b"host=%ff%fe".to_vec()),
        (path.clone(), b"host=\xff\xfe".to_vec()),
        (path.clone(), [b"host=production&more=".as_slice(), "m".repeat(100_000).as_bytes()].concat()),
        (format!("{path}/trouble"), b"pasted=%ff".to_vec()),
        (format!("{path}/trouble"), [b"pasted=".as_slice(), "m".repeat(100_000).as_bytes()].concat()),
    ] {
        let form = RawRequest::new("POST", to)
            .header("Sec-Fetch-Site", "same-origin")
            .header("Host", "latchkey.localhost")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        is_page(&form.send(origin).await, 400, "We could not read that");
    }
    assert!(again.story.logs.text().contains("the form cannot be read"));

    // Doubled or missing: asked again, on the page itself.
    for fields in [&[][..], &[("host", "production"), ("host", "sandbox")], &[("host", "moon")]] {
        let page = again.alice.post_form(&link, fields).await;
        says(&page, 422, "Connect Salesforce to Fernway");
        assert!(page.has("Choose where you sign in to Salesforce."), "{page:?}");
    }
    assert!(again.alice.history().iter().all(|url| !url.as_str().contains("evil")));
    again.ends_well().await;
}

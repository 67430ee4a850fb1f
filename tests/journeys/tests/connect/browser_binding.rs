//! Somebody holds the link, the session's id, every cookie's name and every public page, and wants what belongs to the
//! browser that went to Salesforce: the receipt, the identity, the decision.

use std::time::Duration;

use jiff::SignedDuration;
use journeys::{Answer, Returning, Story, says};
use serde_json::{Value, json};
use url::Url;
use world::{
    browser::{Browser, Page, RawRequest},
    salesforce::Fault,
};

const OTHER_BROWSER: &str = "This isn't the browser you started in";
const FINISH: &str = "Finish in Fernway";
const UMA: &str = "uma@acme.example";
const ADA: &str = "ada@acme.example";

fn part(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.map_or_else(|| panic!("no {name} in {url}"), |(_, value)| value.into_owned())
}

async fn redeem(story: &Story, session: &str, receipt: &str, user: &str) -> Answer {
    let path = format!("/v1/connect-sessions/{session}/redeem");
    story.call("POST", &path, Some(json!({ "receipt": receipt, "user": user }))).await
}

/// From a link to Salesforce, signed in there as this user, and back as far as the product.
async fn comes_back_as(browser: &Browser, link: &str, username: &str) -> Page {
    let connect = browser.get(link).await.choose("Production").choose("Ask me to sign in again");
    browser.stop_before("/salesforce/return");
    let page = connect.click("Continue to Salesforce").await.click(username).await;
    if page.has("Allow Access?") { page.click("Allow").await } else { page }
}

/// Gives a browser everything that can be made from a link, an id and a public page: each cookie's name with each value.
fn forge_cookies(story: &Story, thief: &Browser, victim: &Browser, link: &str, session: &str) {
    let key = link.rsplit('/').next().expect("a key");
    let mut names: Vec<String> = victim.cookies().iter().map(|cookie| cookie.name.clone()).collect();
    names.push(format!("__Host-lk-s-{}", &session[3..15]));
    names.push(format!("__Host-lk-{}", &session[3..15]));
    for value in [key.to_owned(), format!("{key}.{key}"), format!("{session}.{key}"), format!(".{key}")] {
        for name in names.iter().filter(|name| name.starts_with("__Host-lk-")) {
            thief.set_cookie(&story.stack.latchkey, &format!("{name}={value}; Path=/; Secure; HttpOnly"));
        }
    }
}

/// C1 of the security review: a reconnect link is sent to a victim, who signs in; the sender then decides.
#[tokio::test]
async fn reconnect_link_sent_to_a_victim_attaches_nothing() {
    let again = Returning::begin().await;
    let story = &again.story;
    let wish = story.wish(json!({ "connection_id": again.earlier })).await;
    let (link, session) = (wish.text("connect_url").to_owned(), wish.text("id").to_owned());
    let victim = story.signed_in("Bob").await;
    let asked = comes_back_as(&victim, &link, ADA).await;
    assert!(asked.url.path().ends_with("/confirm"), "{asked:?}");

    let thief = story.stack.browser();
    forge_cookies(story, &thief, &victim, &link, &session);
    let confirm = format!("{link}/confirm");
    thief.stop_before("/salesforce/return");
    for page in [
        thief.get(&confirm).await,
        thief.get(&link).await,
        thief.post_form(&confirm, &[("confirm", "yes")]).await,
        thief.post_form(&confirm, &[("confirm", "no")]).await,
    ] {
        says(&page, 403, OTHER_BROWSER);
        assert!(!page.has(ADA) && !page.has(UMA) && !page.has("acme.my.salesforce"), "no identity: {page:?}");
    }

    let state = story.call("GET", &format!("/v1/connect-sessions/{session}"), None).await;
    assert_eq!(state.text("status"), "parked");
    let shown = story.call("GET", &format!("/v1/connections/{}", again.earlier), None).await;
    assert_eq!(shown.text("username"), UMA);

    // The victim agrees; the receipt reaches the product in the victim's browser, where somebody else is signed in.
    victim.stop_before("/salesforce/return");
    let receipt =
        part(&asked.click("Switch to ada@acme.example").await.location().expect("to the product"), "receipt");
    assert_eq!(redeem(story, &session, &receipt, "u-bob").await.problem(), "other-user");
    again.works(&again.earlier).await;
    story.nothing_leaked().await;
}

/// M1: the right user and another one redeem at the same moment. Who gets 200 keeps a grant that lives. A wrong user who
/// comes first ends the receipt for everybody, so not every round has a 200.
#[tokio::test]
async fn redeemed_grant_is_never_revoked_by_a_wrong_user() {
    let again = Returning::begin().await;
    let story = &again.story;
    let mut redeemed = 0;
    for round in 0..12 {
        if round >= 4 && redeemed > 0 {
            break;
        }
        let back = comes_back_as(&again.alice, &story.invite().await, UMA).await.location().expect("back");
        let (session, receipt) = (part(&back, "connect_session"), part(&back, "receipt"));
        let by = |user: &'static str| redeem(story, &session, &receipt, user);
        let (one, other, two, another, three, third) = tokio::join!(
            by("u-alice"),
            by("u-mallory"),
            by("u-alice"),
            by("u-mallory"),
            by("u-alice"),
            by("u-mallory")
        );

        for answer in [&other, &another, &third] {
            assert_eq!(answer.status, 409, "round {round}: {}", answer.body);
        }
        for answer in [&one, &two, &three].into_iter().filter(|answer| answer.status == 200) {
            again.works(answer.text("id")).await;
            redeemed += 1;
        }
    }
    assert!(redeemed > 0, "no round ended in 200, so nothing was tested");
    story.holds_every_grant().await;
}

#[tokio::test]
async fn second_visit_of_the_callback_gets_the_same_receipt() {
    let again = Returning::begin().await;
    let story = &again.story;
    let answer = again.answer().await;
    again.alice.stop_before("/salesforce/return");
    let first = again.alice.get(answer.as_str()).await.location().expect("on the way to the product");

    story.pass(SignedDuration::from_mins(9));
    again.alice.stop_before("/salesforce/return");
    let second = again.alice.get(answer.as_str()).await.location().expect("the same way once more");

    assert_eq!(first, second);
    let thief = story.stack.browser();
    says(&thief.get(answer.as_str()).await, 403, OTHER_BROWSER);
    let redeemed =
        redeem(story, &part(&second, "connect_session"), &part(&second, "receipt"), "u-alice").await;
    assert_eq!(redeemed.status, 200, "{}", redeemed.body);
    says(&again.alice.get(answer.as_str()).await, 200, "Already connected");
    again.ends_well().await;
}

#[tokio::test]
async fn two_visits_at_once_end_with_the_same_receipt() {
    two_visits_meet_an_exchange_of(Duration::from_millis(1500)).await;
}

/// The second visit waits as long as the function may run: the token endpoint may take 15 s.
#[tokio::test]
async fn second_visit_waits_for_a_slow_exchange() {
    two_visits_meet_an_exchange_of(Duration::from_secs(12)).await;
}

async fn two_visits_meet_an_exchange_of(time: Duration) {
    let again = Returning::begin().await;
    let story = &again.story;
    let answer = again.answer().await;
    story.stack.salesforce.queue_token_fault(Fault::Slow(time));
    let cookies = again.alice.cookie_header(answer.as_str()).expect("cookies");
    let visit = || async {
        let request =
            RawRequest::new("GET", format!("{}?{}", answer.path(), answer.query().expect("a query")))
                .header("host", answer.authority())
                .header("cookie", &cookies);
        let answer = request.send(&story.stack.latchkey).await;
        answer.header("location").unwrap_or(&answer.body).to_owned()
    };

    let (one, two) = tokio::join!(visit(), visit());

    assert!(one.contains("/salesforce/return?connect_session=cs_") && one == two, "{one} {two}");
    assert_eq!(story.stack.salesforce.token_calls().len(), 2, "one exchange each for the two connections");
}

#[tokio::test]
async fn receipt_ends_ten_minutes_after_the_first_return() {
    let again = Returning::begin().await;
    let story = &again.story;
    let answer = again.answer().await;
    again.alice.stop_before("/salesforce/return");
    let back = again.alice.get(answer.as_str()).await.location().expect("on the way to the product");
    story.pass(SignedDuration::from_mins(6));
    again.alice.stop_before("/salesforce/return");
    assert!(
        again.alice.get(answer.as_str()).await.location().is_some(),
        "a visit does not extend the deadline"
    );

    story.pass(SignedDuration::from_mins(5));

    // No sweep has run: the condition of the write alone refuses.
    let late = redeem(story, &part(&back, "connect_session"), &part(&back, "receipt"), "u-alice").await;
    assert_eq!((late.status, late.problem()), (409, "receipt-refused"));
    let page = again.alice.get(answer.as_str()).await;
    assert!(!page.has("Already connected"), "nothing is connected: {page:?}");
    again.ends_well().await;
}

#[tokio::test]
async fn redemption_is_repeated_for_its_user_and_changes_nothing_for_others() {
    let again = Returning::begin().await;
    let story = &again.story;
    let back = comes_back_as(&again.alice, &story.invite().await, UMA).await.location().expect("back");
    let (session, receipt) = (part(&back, "connect_session"), part(&back, "receipt"));
    let first = redeem(story, &session, &receipt, "u-alice").await;
    assert_eq!(first.status, 200);

    let repeated = redeem(story, &session, &receipt, "u-alice").await;
    assert_eq!((repeated.status, &repeated.body), (200, &first.body));
    let wrong = redeem(story, &session, &receipt, "u-mallory").await;
    assert_eq!((wrong.status, wrong.problem()), (409, "receipt-used"));
    again.works(first.text("id")).await;

    let renewed = story.wish(json!({ "connection_id": again.earlier })).await;
    let back = comes_back_as(&again.alice, renewed.text("connect_url"), UMA).await.location().expect("back");
    let (session, receipt) = (part(&back, "connect_session"), part(&back, "receipt"));
    let first = redeem(story, &session, &receipt, "u-alice").await;
    let repeated = redeem(story, &session, &receipt, "u-alice").await;
    assert_eq!((repeated.status, &repeated.body["reconnected"]), (200, &first.body["reconnected"]));
    assert_eq!(repeated.text("id"), again.earlier);

    story.pass(SignedDuration::from_hours(25));
    let late = redeem(story, &session, &receipt, "u-alice").await;
    assert_eq!((late.status, late.problem()), (409, "receipt-used"));
}

#[tokio::test]
async fn prefetch_and_head_claim_nothing() {
    let again = Returning::begin().await;
    let story = &again.story;
    let answer = again.answer().await;
    let calls = story.stack.salesforce.token_calls().len();
    let target = format!("{}?{}", answer.path(), answer.query().expect("a query"));
    let cookies = again.alice.cookie_header(answer.as_str()).expect("cookies");
    for (method, name, value) in [
        ("GET", "sec-purpose", "prefetch;prerender"),
        ("GET", "purpose", "prefetch"),
        ("GET", "x-moz", "prefetch"),
        ("HEAD", "accept", "*/*"),
    ] {
        let request = RawRequest::new(method, &target)
            .header("host", answer.authority())
            .header("cookie", &cookies)
            .header(name, value);
        let prefetched = request.send(&story.stack.latchkey).await;
        assert!(!(200..400).contains(&prefetched.status), "{method} {name}: {}", prefetched.status);
    }
    assert_eq!(story.stack.salesforce.token_calls().len(), calls, "the code was not sent");

    let home = again.alice.get(answer.as_str()).await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    again.ends_well().await;
}

#[tokio::test]
async fn many_connects_leave_few_cookies() {
    let again = Returning::begin().await;
    let story = &again.story;
    for _ in 0..12 {
        let link = story.invite().await;
        story.about_to_return(&again.alice, &link).await;
    }
    let header = again.alice.cookie_header(&story.stack.latchkey).expect("cookies");
    assert!(header.len() < 1000, "{} bytes", header.len());
    assert!(header.matches("__Host-lk-").count() <= 5, "{header}");

    // The newest attempt still returns, and its cookie goes once it is redeemed and seen again.
    let answer = again.answer().await;
    assert!(again.alice.get(answer.as_str()).await.has("Your Salesforce accounts"));
    story.pass(SignedDuration::from_hours(25));
    assert_eq!(again.alice.cookie_header(&story.stack.latchkey), None, "every cookie has a deadline");
}

#[tokio::test]
async fn connect_page_names_no_user_to_whoever_holds_the_link() {
    let again = Returning::begin().await;
    let story = &again.story;
    let wish = story.wish(json!({ "connection_id": again.earlier })).await;
    let stranger = story.stack.browser();

    let page = stranger.get(wish.text("connect_url")).await;

    assert_eq!(page.status, 200);
    assert!(page.has("This renews an existing connection") && !page.has(UMA), "{}", page.text());
    let trouble = stranger.get(&format!("{}/trouble", wish.text("connect_url"))).await;
    assert!(trouble.status == 200 && !trouble.has(UMA), "{}", trouble.text());
}

#[tokio::test]
async fn returned_session_is_not_called_connected_before_it_is_redeemed() {
    let again = Returning::begin().await;
    let story = &again.story;
    let link = story.invite().await;
    let back = comes_back_as(&again.alice, &link, UMA).await;
    assert!(back.location().is_some());

    let page = story.stack.browser().get(&link).await;

    says(&page, 200, FINISH);
    assert!(!page.has("connected to"), "{}", page.text());
    // The browser that has returned is sent on with its receipt, and nobody else is.
    again.alice.stop_before("/salesforce/return");
    let on = again.alice.get(&link).await;
    assert_eq!(on.location(), back.location());
}

#[tokio::test]
async fn browser_that_blocks_cookies_is_told_to_start_again() {
    let again = Returning::begin().await;
    let answer = again.answer().await;
    let held: Vec<Value> = again.alice.cookies().iter().map(|cookie| json!(cookie.name)).collect();
    assert!(!held.is_empty());
    again.alice.forget_cookies();

    let page = again.alice.get(answer.as_str()).await;

    says(&page, 403, OTHER_BROWSER);
    assert!(page.links().iter().any(|(text, _)| text == "Start again"), "{:?}", page.links());
    again.works(&again.earlier).await;
}

#[tokio::test]
async fn forms_of_other_sites_and_of_nobody_are_refused() {
    let again = Returning::begin().await;
    let story = &again.story;
    let link = story.invite().await;
    let path = Url::parse(&link).expect("a link").path().to_owned();
    for headers in [
        &[("sec-fetch-site", "same-site"), ("origin", "https://blog.example.com")][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", "null")],
        &[],
    ] {
        for path in [path.clone(), format!("{path}/trouble"), format!("{path}/confirm")] {
            let mut request = RawRequest::new("POST", &path)
                .header("host", Url::parse(&story.stack.latchkey).expect("an origin").authority())
                .header("content-type", "application/x-www-form-urlencoded")
                .body("host=production&seen=other&confirm=yes");
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let answer = request.send(&story.stack.latchkey).await;
            assert_eq!(answer.status, 400, "{path} {headers:?}");
            assert!(answer.header("set-cookie").is_none());
        }
    }
}

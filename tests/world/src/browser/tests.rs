use std::collections::HashMap;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// A few sites on one port: fixed answers by path, and what they were asked.
struct Sites {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    clock: Clock,
    _server: JoinSet<()>,
}

#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }
}

/// Path → status, headers, body. `{port}` stands for the port.
type Answers = HashMap<&'static str, (u16, Vec<(&'static str, &'static str)>, &'static str)>;

static ANSWERS: LazyLock<Answers> = LazyLock::new(|| {
    HashMap::from([
        ("/form", (200, vec![], FORM)),
        (
            "/silent",
            (
                200,
                vec![("referrer-policy", "no-referrer")],
                "<form method=post action=/echo><button>Go</button></form>",
            ),
        ),
        (
            "/guarded",
            (200, vec![("content-security-policy", "default-src 'none'; form-action 'self'")], LEAVING),
        ),
        (
            "/open",
            (
                200,
                vec![("content-security-policy", "form-action 'self' http://*.salesforce.localhost:*")],
                LEAVING,
            ),
        ),
        ("/leave", (303, vec![("location", "http://login.salesforce.localhost:{port}/echo?state=s")], "")),
        ("/302", (302, vec![("location", "/echo")], "")),
        ("/307", (307, vec![("location", "/echo")], "")),
        ("/to-b", (307, vec![("location", "http://b.localhost:{port}/to-a")], "")),
        ("/to-a", (307, vec![("location", "http://a.localhost:{port}/echo")], "")),
        ("/loop", (302, vec![("location", "/loop")], "")),
        (
            "/hop/set",
            (
                302,
                vec![("location", "/echo"), ("set-cookie", "__Host-hop=1; Path=/; Secure; SameSite=Lax")],
                "",
            ),
        ),
        ("/to-https", (302, vec![("location", "https://login.salesforce.com/")], "")),
    ])
});

const LEAVING: &str = "<form method=post action=/leave><button>Continue</button></form>";

const FORM: &str = r#"<!doctype html><title> Connect  Acme </title><body>
<h1>Connect <em>Sales</em>force</h1><script>var hidden = "script"</script><p hidden>secret</p>
<p>First<b>ly</b></p><ul><li>one</li><li>two</li></ul>
<a href="/echo?a=1#part" rel="noreferrer">Read more</a> <a href="/302">Read</a>
<table><tr><td>Acme Connector</td><td><form action="/install/acme"><button name=app value=acme>Install</button></form></td></tr>
<tr><td>Other App</td><td><form action="/install/other"><button name=app value=other>Install</button></form></td></tr></table>
<form method="post" action="/echo?kept=1">
<input type=hidden name=csrf value="t&amp;1">
<label for=u>Your name</label><input id=u name=user required>
<label><input type=radio name=env value=production checked> Production</label>
<label><input type=radio name=env value=sandbox> Sandbox</label>
<label><input type=checkbox name=fresh value=yes> Use a fresh login</label>
<label>Country <select name=country><option value=ch>Switzerland</option><option value=de selected>Germany</option></select></label>
<label>Message <textarea name=message>
two
lines</textarea></label>
<input name=off value=x disabled><button name=go value=now>Continue to Salesforce</button>
<button type=submit formaction="/302" name=go value=later>Later</button><button disabled>Never</button></form>"#;

impl Sites {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let router = Router::new().fallback(answer).with_state((Arc::clone(&asked), port));
        let mut server = JoinSet::new();
        server.spawn(async { axum::serve(listener, router).await.unwrap() });
        let clock = Clock::standing("2026-01-01T00:00:00Z".parse().unwrap());
        Self { port, asked, clock, _server: server }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    fn browser(&self) -> Browser {
        Browser::new(&self.clock)
    }

    fn last(&self) -> Asked {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

async fn answer(
    Shared((asked, port)): Shared<(Arc<Mutex<Vec<Asked>>>, u16)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (status, answers, text) = ANSWERS.get(uri.path()).cloned().unwrap_or((200, vec![], "<h1>Echo</h1>"));
    let body = String::from_utf8_lossy(&body).into_owned();
    let mut response = (StatusCode::from_u16(status).unwrap(), text).into_response();
    for (name, value) in answers {
        response.headers_mut().append(name, value.replace("{port}", &port.to_string()).parse().unwrap());
    }
    if let Some(cookie) = uri.query().filter(|_| uri.path() == "/set") {
        let cookie = form_urlencoded::parse(cookie.as_bytes()).next().unwrap().0.into_owned();
        response.headers_mut().append("set-cookie", cookie.parse().unwrap());
    }
    asked.lock().unwrap().push(Asked { method, uri, headers, body });
    response
}

/// The panic's message of a story that must not go on.
async fn refusal(story: impl Future<Output = Page> + Send + 'static) -> String {
    let panicked = tokio::spawn(story).await.expect_err("the browser went on").into_panic();
    panicked.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_page_reads_as_a_person_sees_it() {
    let sites = Sites::start().await;
    let page = sites.browser().get(&sites.url("a.localhost", "/form")).await;
    assert_eq!((page.title().as_str(), page.heading().as_str()), ("Connect Acme", "Connect Salesforce"));
    assert!(page.text().starts_with("Connect Salesforce Firstly one two Read more Read"), "{}", page.text());
    assert!(page.has("Firstly  one") && !page.has("secret") && !page.has("script"));
    assert_eq!(page.all("li"), ["one", "two"]);
    assert_eq!(page.links()[0], ("Read more".into(), sites.url("a.localhost", "/echo?a=1#part")));
    assert_eq!(page.value("Message"), "two\nlines");
}

#[tokio::test]
async fn a_form_is_submitted_as_it_stands() {
    let sites = Sites::start().await;
    let page = sites.browser().get(&sites.url("a.localhost", "/form")).await;
    let page =
        page.fill("Your name", "Ada L.").choose("Sandbox").choose("Use a fresh login").choose("Switzerland");
    assert_eq!(page.value("user"), "Ada L.");
    let after = page.click("Continue to Salesforce").await;

    let asked = sites.last();
    assert_eq!((asked.method.as_str(), asked.uri.to_string().as_str()), ("POST", "/echo?kept=1"));
    assert_eq!(
        asked.body,
        "csrf=t%261&user=Ada+L.&env=sandbox&fresh=yes&country=ch&message=two%0D%0Alines&go=now"
    );
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(after.heading(), "Echo");

    page.clear("Use a fresh login").choose("production").click("Later").await;
    assert_eq!(sites.last().method, Method::GET, "302 turned the POST into a GET");
}

#[tokio::test]
async fn what_a_person_cannot_do_says_why() {
    let sites = Sites::start().await;
    let page = sites.browser().get(&sites.url("a.localhost", "/form")).await;
    for (text, why) in [
        ("Continue to Salesforce", "the browser asks to fill in [\"Your name\"] first"),
        ("Never", "\"Never\" is disabled"),
        ("Install", "2 times link or button \"Install\" here"),
        ("Deny", "no link or button \"Deny\" here; there is [\"Read more\""),
    ] {
        let page = page.clone();
        let refused = refusal(async move { page.click(text).await }).await;
        assert!(refused.contains(why), "{text}: {refused}");
    }
    let page = page.clone();
    assert!(refusal(async move { page.fill("Password", "x") }).await.contains("no text field \"Password\""));
    let (browser, url) = (sites.browser(), sites.url("a.localhost", "/to-https"));
    let sent_away = refusal(async move { browser.get(&url).await }).await;
    assert!(
        sent_away.starts_with("sent to https://login.salesforce.com/: only http on this machine"),
        "{sent_away}"
    );
    let (browser, url) = (sites.browser(), sites.url("a.localhost", "/loop"));
    assert!(refusal(async move { browser.get(&url).await }).await.starts_with("redirected 15 times"));
}

#[tokio::test]
async fn of_several_the_one_beside_is_clicked() {
    let sites = Sites::start().await;
    let page = sites.browser().get(&sites.url("a.localhost", "/form")).await;
    page.click_beside("Other App", "Install").await;
    assert_eq!(sites.last().uri.to_string(), "/install/other?app=other");
    page.click_beside("Acme Connector", "Install").await;
    assert_eq!(sites.last().uri.to_string(), "/install/acme?app=acme");
}

#[tokio::test]
async fn origin_referer_and_fetch_metadata_are_a_browsers() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    let told = || {
        let asked = sites.last();
        ["sec-fetch-site", "origin", "referer"].map(|name| asked.header(name).to_owned())
    };
    let form = browser.get(&sites.url("a.localhost", "/form")).await;
    assert_eq!(told(), ["none", "-", "-"]);
    form.fill("user", "x").click("Continue").await;
    let (origin, here) = (sites.url("a.localhost", ""), sites.url("a.localhost", "/form"));
    assert_eq!(told(), ["same-origin", origin.as_str(), here.as_str()]);

    form.post_form(&sites.url("b.localhost", "/echo"), &[("a", "b")]).await;
    assert_eq!(told(), ["cross-site", origin.as_str(), format!("{origin}/").as_str()]);
    form.post_form(&sites.url("x.a.localhost", "/echo"), &[]).await;
    assert_eq!(told()[0], "same-site");
    form.click("Read more").await;
    assert_eq!(told(), ["same-origin", "-", "-"], "rel=noreferrer");
    form.post_form(&sites.url("a.localhost", "/to-b"), &[]).await;
    assert_eq!(told()[..2], ["cross-site", "null"], "an origin that a redirect led astray is null");

    browser.get(&sites.url("a.localhost", "/silent")).await.click("Go").await;
    assert_eq!(told(), ["same-origin", "null", "-"], "no-referrer hides Origin even from itself");
}

#[tokio::test]
async fn redirects_keep_or_drop_the_method_and_cookies_set_on_the_way_are_sent() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    browser.post_form(&sites.url("a.localhost", "/307"), &[("a", "1")]).await;
    assert_eq!((sites.last().method.as_str(), sites.last().body.as_str()), ("POST", "a=1"));
    browser.post_form(&sites.url("a.localhost", "/302"), &[("a", "1")]).await;
    assert_eq!((sites.last().method.as_str(), sites.last().header("content-type")), ("GET", "-"));
    browser.get(&sites.url("a.localhost", "/hop/set")).await;
    assert_eq!(sites.last().header("cookie"), "__Host-hop=1");
    let paths: Vec<_> = browser.history().iter().map(|url| url.path().to_owned()).collect();
    assert_eq!(paths, ["/307", "/echo", "/302", "/echo", "/hop/set", "/echo"]);
}

#[tokio::test]
async fn stops_before_an_address_and_goes_on() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    browser.stop_before("salesforce.localhost");
    let stopped = browser.get(&sites.url("a.localhost", "/leave")).await;
    assert_eq!((stopped.status, stopped.location().unwrap().query()), (303, Some("state=s")));
    assert_eq!(sites.last().uri.path(), "/leave");
    assert_eq!(stopped.follow().await.url.host_str(), Some("login.salesforce.localhost"));
    assert_eq!(browser.get(&sites.url("a.localhost", "/leave")).await.status, 200, "it stops once");
}

#[tokio::test]
async fn a_form_goes_only_where_form_action_lets_it() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    let guarded = browser.get(&sites.url("a.localhost", "/guarded")).await;
    let refused = refusal(async move { guarded.click("Continue").await }).await;
    assert!(refused.contains("form-action allows [\"'self'\"]"), "{refused}");
    assert_eq!(sites.last().uri.path(), "/leave", "the first hop is allowed, the redirect is not");
    let open = browser.get(&sites.url("a.localhost", "/open")).await;
    assert_eq!(open.click("Continue").await.heading(), "Echo");
}

#[tokio::test]
async fn back_asks_again_and_does_not_resubmit() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    let form = browser.get(&sites.url("a.localhost", "/form")).await;
    let echo = form.click("Read more").await;
    assert_eq!(echo.url.fragment(), Some("part"));
    assert_eq!(echo.back().await.heading(), "Connect Salesforce");
    assert_eq!(sites.last().header("sec-fetch-site"), "none", "as it was first asked for");
    assert_eq!(echo.reload().await.heading(), "Echo");
    let submitted = form.fill("user", "x").click("Continue").await;
    let refused = refusal(async move { submitted.reload().await }).await;
    assert!(refused.contains("would ask whether to send the form again"), "{refused}");
}

#[tokio::test]
async fn raw_requests_go_out_byte_for_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 1024];
        let length = stream.read(&mut asked).await.unwrap();
        let chunked = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n4\r\n you\r\n0\r\n\r\n";
        stream.write_all(chunked).await.unwrap();
        asked[..length].to_vec()
    });
    let request =
        RawRequest::new("POST", b"/callback?state=\xff").header("Host", "a").header("Host", b"\xfe");
    let answer = request.body(*b"a=\xfd").send(&url).await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "not you"));
    let expected = b"POST /callback?state=\xff HTTP/1.1\r\nHost: a\r\nHost: \xfe\r\nConnection: close\r\n\
        Content-Length: 3\r\n\r\na=\xfd";
    assert_eq!(server.await.unwrap(), expected);
}

#[tokio::test]
async fn raw_requests_reach_a_real_server() {
    let sites = Sites::start().await;
    let doubled = RawRequest::new("GET", "/echo?state=%ff").header("Host", "a").header("host", "b");
    let answer = doubled.send(&sites.url("a.localhost", "/")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "<h1>Echo</h1>"));
    assert_eq!(answer.header("Content-Length"), Some("13"));
    assert_eq!(sites.last().headers.get_all("host").iter().count(), 2);
}

mod jar;

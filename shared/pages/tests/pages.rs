//! What every page keeps, and each page as its reader gets it: the body, with the script cut out.

mod samples;

use diagnosis::guide::Audience;
use domain::{App, AppKind, Brand, Confidence, Customer, Environment, Evidence, Provenance, Surface};
use pages::{ConnectPage, HelpPage, HostForm, HostRefusal, NoticePage, Page, SignIn, TroublePage};
use samples::{NONCE, Sample, every_page};

/// Between two marks, without them.
fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    text.split_once(from)
        .and_then(|(_, rest)| rest.split_once(to))
        .map(|(inner, _)| inner)
        .unwrap_or_default()
}

fn body(html: &str) -> String {
    let body = between(html, "<body ", "</body>");
    let script = between(body, "<script", "</script>");
    let body = if script.is_empty() { body.to_owned() } else { body.replace(script, "") };
    body.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_page_in_every_state() {
    for Sample { name, title, html } in every_page() {
        insta::assert_snapshot!(name, format!("{title}\n\n<body {}", body(&html)));
    }
}

#[test]
fn nothing_is_loaded_but_the_logo_and_nothing_runs_without_the_nonce() {
    for Sample { name, html, .. } in every_page() {
        let html = html.replace("<img class=\"logo\" src=\"https://cdn.ledger.example/logo.svg\"", "");
        assert_eq!(html.matches("<style").count(), 1, "{name}");
        assert!(html.contains(&format!("<style nonce=\"{NONCE}\">")), "{name}");
        assert_eq!(
            html.matches("<script").count(),
            html.matches(&format!("<script nonce=\"{NONCE}\">")).count(),
            "{name}"
        );
        for external in
            ["<link rel=\"stylesheet", "@import", "url(", " src=\"", " style=\"", " onclick=", "javascript:"]
        {
            assert!(!html.contains(external), "{name} has {external}");
        }
    }
}

#[test]
fn every_page_says_what_it_is_once() {
    for Sample { name, title, html } in every_page() {
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}");
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        assert_eq!(html.matches("<main>").count(), 1, "{name}");
        assert!(!title.is_empty() && !title.contains(['{', '*', '<']), "{name}: {title}");
        assert!(html.contains("<meta name=\"robots\" content=\"noindex, nofollow\">"), "{name}");
        assert!(html.contains("<meta name=\"referrer\" content=\"no-referrer\">"), "{name}");
    }
}

/// A page brings its style and script along: bytes, of every sample and of every cause's help page. The guides of
/// real product files are measured in `tests/journeys/tests/connect/products.rs`.
#[test]
fn every_page_is_small() {
    let causes =
        [AppKind::ConnectedApp, AppKind::ExternalClientApp].into_iter().flat_map(samples::every_cause);
    for Sample { name, html, .. } in every_page().into_iter().chain(causes) {
        assert!(html.len() < 36_000, "{name}: {} bytes", html.len());
    }
}

/// Steps that stand twice are a link the second time, and it leads to the first of them.
#[test]
fn a_guide_tells_no_steps_twice() {
    let guide = every_page().into_iter().find(|sample| sample.name == "guide-admin-connected-app").unwrap();
    let steps = "Or click <b>Manage Permission Sets</b>, tick the permission sets";
    assert_eq!(guide.html.matches(steps).count(), 1);
    assert!(guide.html.contains(&format!("<p id=\"3.9\">{steps}")), "{}", guide.html);
    let link =
        "<a href=\"#3.8\">Repeat steps 8–9 of this part: Install “Fernway Sync” from the list of apps.</a>";
    assert!(guide.html.contains(link));
}

/// Ids are what labels, descriptions and links within a page lead to.
#[test]
fn every_reference_within_a_page_leads_somewhere() {
    for Sample { name, html, .. } in every_page() {
        let body = body(&html);
        let values = |attribute: &str| -> Vec<String> {
            let parts = body.split(attribute).skip(1).filter_map(|rest| rest.split_once('"'));
            parts.flat_map(|(value, _)| value.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
        };
        let ids = values(" id=\"");
        let mut unique = ids.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(ids.len(), unique.len(), "{name}: an id twice in {ids:?}");
        for attribute in
            [" for=\"", " href=\"#", " aria-labelledby=\"", " aria-describedby=\"", " data-copy=\""]
        {
            for id in values(attribute) {
                assert!(ids.contains(&id), "{name}: {attribute}{id} leads nowhere");
            }
        }
    }
}

#[test]
fn no_placeholder_is_left_on_a_page() {
    for Sample { name, html, .. } in every_page() {
        let body = body(&html).replace("{minutes}", "");
        assert!(!body.contains('{') && !body.contains("**"), "{name}: {body}");
    }
}

const ATTACK: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover=\"alert(3)\" {app} **b** </style></title>";

fn attacker() -> Brand {
    Brand {
        name: ATTACK.into(),
        logo: "javascript:alert(4)".parse().ok(),
        colour: Some("red;}</style><script>alert(5)</script>".into()),
        customer_word: ATTACK.into(),
        support: domain::product::Support {
            email: Some(ATTACK.into()),
            url: "javascript:alert(6)".parse().ok(),
        },
        publisher: Some(ATTACK.into()),
        security: domain::product::Support {
            email: Some(ATTACK.into()),
            url: "javascript:alert(6)".parse().ok(),
        },
    }
}

#[test]
fn no_text_becomes_markup() {
    let brand = attacker();
    let app = App { names: vec![ATTACK.into()], ..samples::app(AppKind::ConnectedApp) };
    let customer = Customer { id: "1".into(), name: Some(ATTACK.into()) };
    let diagnosis = samples::diagnosis(&[(&CAUSE, Confidence::Likely), (&CAUSE, Confidence::Possible)]);
    let evidence = Evidence {
        surface: Surface::Unknown,
        provenance: Provenance::Reported,
        code: Some(ATTACK.into()),
        description: Some(ATTACK.into()),
        http_status: None,
        host: Some(ATTACK.into()),
    };
    let allowed = [Environment::Production, Environment::MyDomain];
    let form = HostForm {
        allowed: &allowed,
        chosen: Some(Environment::MyDomain),
        my_domain: ATTACK,
        refused: Some(HostRefusal::NotMyDomain),
    };
    let connect = ConnectPage {
        nonce: NONCE,
        brand: &brand,
        app: &app,
        customer: &customer,
        action: "/connect/ck_sample",
        sign_in: SignIn::Choice(form),
        fresh_login: false,
        trouble: None,
        last_failure: None,
        guide: None,
        renews: true,
        crowded: true,
    };
    let trouble = TroublePage {
        nonce: NONCE,
        brand: &brand,
        app: &app,
        customer: &customer,
        action: "/connect/ck_sample/trouble",
        back: "/connect/ck_sample",
        seen: None,
        nothing_given: true,
    };
    let help = HelpPage {
        retry: Some(pages::WayOn::Product("javascript:alert(7)")),
        reference: ATTACK,
        asked_by: Some(ATTACK),
        callback: ATTACK,
        ..samples::help(&brand, &app, &customer, &diagnosis, &evidence)
    };
    let fixed = ConnectPage {
        sign_in: SignIn::Fixed { environment: Environment::MyDomain, host: ATTACK },
        ..connect
    };
    let notice = NoticePage::expired_link(NONCE, &brand);
    let attackers = |org| samples::whose(org, "005gK000000002fUAA", Some(ATTACK), ATTACK);
    let change = domain::session::Change {
        before: attackers("00DgK0000000001UAA"),
        after: attackers("00DgK0000000002UAA"),
    };
    let confirm = samples::confirm_page(&brand, &app, &customer, &change);
    let other = App { id: "other".parse().unwrap(), ..app.clone() };
    let product = samples::product(brand.clone(), vec![app.clone(), other]);
    let [guide, vendor] =
        [Audience::Admin, Audience::Vendor].map(|audience| samples::guide(&product, audience).html());

    for html in [
        connect.html(),
        fixed.html(),
        confirm.html(),
        trouble.html(),
        help.html(),
        guide,
        vendor,
        notice.html(),
    ] {
        let ours = usize::from(html.contains("<script nonce=\"c2FtcGxlLW5vbmNl\">"));
        assert_eq!(html.matches("<script").count(), ours, "{html}");
        assert_eq!(html.matches("</style>").count(), 1);
        assert_eq!(html.matches("</title>").count(), 1);
        assert!(!html.contains("<img"), "a logo must be at an https address");
        assert!(!html.contains("\" onmouseover"), "a quote got out of its attribute");
        assert!(!html.contains("\"javascript:"), "an address that is none of the web's became a link");
        assert!(html.contains("&#60;script&#62;"), "the text itself is still shown");
        assert!(html.contains("{app} **b**"), "a product's text is not read for placeholders or marks");
    }
}

static CAUSE: diagnosis::Cause = diagnosis::Cause {
    id: "sample",
    label: "A cause",
    title: "{app} of {product} and {customer}",
    why: "**{app}**, {support}, {package_link}, {unknown}",
    article: None,
    actor: diagnosis::Actor::Admin,
    end_user: &[],
    admin: Some(diagnosis::Playbook { goal: "**{app}", steps: &[], branches: &[], check: &[] }),
    vendor: None,
    owner: None,
    wait_minutes: None,
    retry: false,
    question: None,
};

#[test]
fn a_vendors_fault_shows_the_customer_no_steps() {
    let page = every_page().into_iter().find(|sample| sample.name == "help-vendor").unwrap();
    assert!(page.html.contains("The team of Fernway needs to fix this"));
    assert!(page.html.contains("LK-7H3K-9QZM"));
    assert!(!page.html.contains("VENDOR ONLY"));
    assert!(!page.html.contains("id=\"admin\""));
}

#[test]
fn every_cause_of_the_catalogue_renders_for_both_kinds_of_app() {
    for kind in [AppKind::ConnectedApp, AppKind::ExternalClientApp] {
        let pages = samples::every_cause(kind);
        assert!(!pages.is_empty());
        for Sample { name, title, html } in pages {
            let body = body(&html).replace("{minutes}", "");
            assert!(!title.contains(['{', '*']), "{name}: {title}");
            assert!(
                !body.contains('{') && !body.contains("**"),
                "{name}: a mark or placeholder is left\n{body}"
            );
            assert!(body.contains("Fernway"), "{name}");
        }
    }
}

/// An admin who can do something is told what, whichever kind of app it is.
#[test]
fn no_playbook_is_left_without_a_step() {
    for kind in [AppKind::ConnectedApp, AppKind::ExternalClientApp] {
        for Sample { name, html, .. } in samples::every_cause(kind) {
            let admins = html.contains("id=\"admin\"");
            assert_eq!(admins, html.contains("aria-label=\"Step 1 done\""), "{name} for {kind:?}");
        }
    }
}

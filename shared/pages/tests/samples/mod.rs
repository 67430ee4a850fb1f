//! Every page in every state, from samples: what the snapshots show and what the gallery writes.

mod causes;

use diagnosis::evidence;
use diagnosis::{Candidate, Cause, Diagnosis, guide::Audience};
use domain::{
    App, AppKind, Brand, Confidence, Customer, Environment, Evidence, Identity, Product, Provenance, Surface,
    incident::Scope,
    product::{Packages, Support},
    session::{Change, Whose},
};
use jiff::Timestamp;
use pages::{
    ConfirmPage, ConnectPage, GuidePage, HelpPage, HelpState, HostForm, HostRefusal, LastFailure, NoticePage,
    Page, PasteNote, Seen, SignIn, TroublePage, WayOn,
};

pub(crate) const NONCE: &str = "c2FtcGxlLW5vbmNl";
const CONNECT: &str = "/connect/ck_sample";
const TROUBLE: &str = "/connect/ck_sample/trouble";
const BACK: &str = "https://app.fernway.example/settings/salesforce";

/// A page by the name of its snapshot.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) html: String,
}

pub(crate) fn brand() -> Brand {
    Brand {
        name: "Fernway".into(),
        logo: None,
        colour: Some("#1f7a5c".into()),
        customer_word: "workspace".into(),
        support: Support {
            email: Some("help@fernway.example".into()),
            url: "https://help.fernway.example/".parse().ok(),
        },
        publisher: Some("Fernway Software, Inc.".into()),
        security: Support { email: Some("security@fernway.example".into()), url: None },
    }
}

pub(crate) fn app(kind: AppKind) -> App {
    App {
        id: "sync".parse().expect("an id"),
        kind,
        consumer_key: "3MVG9sample".into(),
        secret: "fernway/sync".into(),
        scopes: vec!["api".into(), "refresh_token".into()],
        names: vec!["Fernway Sync".into(), "Fernway".into()],
        packages: Packages {
            production: "https://login.salesforce.com/packaging/installPackage.apexp?p0=04t000000000001AAA"
                .parse()
                .ok(),
            sandbox: "https://test.salesforce.com/packaging/installPackage.apexp?p0=04t000000000001AAA"
                .parse()
                .ok(),
        },
        login_hosts: vec![Environment::Production, Environment::Sandbox, Environment::MyDomain],
        access_token_minutes: 15,
        introspect: false,
        refresh_token_idle_days: 30,
        connections: domain::product::Sharing::default(),
        about: domain::product::AppAbout::default(),
        former_consumer_keys: Vec::new(),
    }
}

pub(crate) fn customer() -> Customer {
    Customer { id: "42".into(), name: Some("Harbour & Pine Ltd".into()) }
}

pub(crate) fn evidence() -> Evidence {
    Evidence {
        surface: Surface::HostedPage,
        provenance: Provenance::Reported,
        code: Some("invalid_client".into()),
        description: Some("app must be installed into org".into()),
        http_status: None,
        host: Some("harbourpine.my.salesforce.com".into()),
    }
}

pub(crate) fn diagnosis(causes: &[(&'static Cause, Confidence)]) -> Diagnosis {
    let candidate = |(cause, confidence): &(&'static Cause, Confidence)| Candidate {
        cause,
        confidence: *confidence,
        reason: "It shows the same page of Salesforce’s to users of {app}.",
    };
    Diagnosis { ranked: causes.iter().map(candidate).collect() }
}

/// A help page of whatever cause, open, with nothing known but what every failure has.
pub(crate) fn help<'a>(
    brand: &'a Brand,
    app: &'a App,
    customer: &'a Customer,
    diagnosis: &'a Diagnosis,
    evidence: &'a Evidence,
) -> HelpPage<'a> {
    HelpPage {
        nonce: NONCE,
        brand,
        app,
        customer,
        diagnosis,
        evidence,
        at: "2026-11-22T10:04:31Z".parse::<Timestamp>().expect("a time"),
        environment: None,
        setup_origin: None,
        address: "https://latchkey.example/help/fl_sample",
        status: Some("/help/fl_sample/status"),
        reference: "LK-7H3K-9QZM",
        retry: None,
        tell_more: None,
        return_to: None,
        asked_by: Some("Uma Okafor"),
        callback: "https://latchkey.example/oauth/callback",
        addresses: &[],
        paste: "/help/fl_sample",
        paste_note: None,
        guide: "/guides/fernway/sync",
        wave: None,
        state: HelpState::Open,
    }
}

pub(crate) fn product(brand: Brand, apps: Vec<App>) -> Product {
    Product {
        id: "fernway".parse().expect("an id"),
        brand,
        return_addresses: Vec::new(),
        api_keys: Vec::new(),
        apps,
        webhooks: Vec::new(),
        redeem: true,
    }
}

/// The guide to a product's first app.
pub(crate) fn guide(product: &Product, audience: Audience) -> GuidePage<'_> {
    GuidePage {
        nonce: NONCE,
        product,
        app: &product.apps[0],
        audience,
        callback: "https://latchkey.example/oauth/callback",
        address: "https://latchkey.example/guides/fernway/sync",
    }
}

pub(crate) fn every_page() -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |name: &str, page: &dyn Shown| samples.push(page.sample(name));
    connect(&mut add);
    confirm(&mut add);
    trouble(&mut add);
    help_pages(&mut add);
    guides(&mut add);
    notices(&mut add);
    samples
}

/// The help page of every cause of the catalogue, for one kind of app.
pub(crate) fn every_cause(kind: AppKind) -> Vec<Sample> {
    let (brand, app, customer, evidence) = (brand(), app(kind), customer(), evidence());
    let page = |cause: &'static Cause| {
        let diagnosis = diagnosis(&[(cause, Confidence::Sure)]);
        let page = HelpPage {
            setup_origin: Some("https://harbourpine.my.salesforce.com"),
            retry: Some(WayOn::Product(BACK)),
            ..help(&brand, &app, &customer, &diagnosis, &evidence)
        };
        page.sample(&format!("cause-{}", cause.id))
    };
    diagnosis::catalogue().iter().map(page).collect()
}

/// [`Page`] as an object: askama's own methods are generic.
trait Shown {
    fn sample(&self, name: &str) -> Sample;
}

impl<P: Page> Shown for P {
    fn sample(&self, name: &str) -> Sample {
        Sample { name: name.to_owned(), title: self.title(), html: self.html() }
    }
}

fn connect(add: &mut dyn FnMut(&str, &dyn Shown)) {
    let (brand, app, customer) = (brand(), app(AppKind::ConnectedApp), customer());
    let form = HostForm { allowed: &app.login_hosts, chosen: None, my_domain: "", refused: None };
    let page = ConnectPage {
        nonce: NONCE,
        brand: &brand,
        app: &app,
        customer: &customer,
        action: CONNECT,
        sign_in: SignIn::Choice(form),
        fresh_login: false,
        trouble: None,
        last_failure: None,
        guide: None,
        renews: false,
        crowded: false,
    };
    add("connect", &page);
    add("connect-welcome-back", &ConnectPage { trouble: Some(TROUBLE), ..page });
    let last_failure =
        LastFailure { title: "{app} is not installed in your Salesforce org.", url: "/help/fl_sample" };
    add(
        "connect-after-failure",
        &ConnectPage { last_failure: Some(last_failure), guide: Some("/guides/fernway/sync"), ..page },
    );

    add("connect-again", &ConnectPage { renews: true, ..page });
    add("connect-crowded", &ConnectPage { crowded: true, ..page });
    add("connect-again-crowded", &ConnectPage { renews: true, crowded: true, ..page });

    let refused = |chosen, my_domain, refused| ConnectPage {
        sign_in: SignIn::Choice(HostForm { chosen, my_domain, refused: Some(refused), ..form }),
        fresh_login: true,
        ..page
    };
    let my_domain = Some(Environment::MyDomain);
    add(
        "connect-not-a-my-domain",
        &refused(my_domain, "evil.com#.my.salesforce.com", HostRefusal::NotMyDomain),
    );
    add("connect-org-id", &refused(my_domain, "00D50000000IZ3Z", HostRefusal::OrgId));
    add("connect-username", &refused(my_domain, "uma@acme.example", HostRefusal::Username));
    add(
        "connect-several-my-domains",
        &refused(my_domain, "acme or beta.my.salesforce.com", HostRefusal::Several),
    );
    add("connect-my-domain-missing", &refused(my_domain, "", HostRefusal::MyDomainMissing));
    add("connect-no-choice", &refused(None, "", HostRefusal::NoChoice));

    for (name, allowed) in [
        ("connect-only-production", [Environment::Production]),
        ("connect-only-sandbox", [Environment::Sandbox]),
        ("connect-only-my-domain", [Environment::MyDomain]),
    ] {
        add(name, &ConnectPage { sign_in: SignIn::Choice(HostForm { allowed: &allowed, ..form }), ..page });
    }
    for (name, environment, host) in [
        ("connect-fixed-production", Environment::Production, "login.salesforce.com"),
        ("connect-fixed-sandbox", Environment::Sandbox, "test.salesforce.com"),
        ("connect-fixed-my-domain", Environment::MyDomain, "harbourpine.my.salesforce.com"),
    ] {
        add(name, &ConnectPage { sign_in: SignIn::Fixed { environment, host }, ..page });
    }

    let other = Brand {
        name: "Süd & Söhne Ledger".into(),
        colour: Some("#ffd400".into()),
        customer_word: "books".into(),
        support: Support::default(),
        publisher: None,
        security: Support::default(),
        logo: None,
    };
    let unnamed = Customer { id: "7".into(), name: None };
    let logo = Brand { logo: "https://cdn.ledger.example/logo.svg".parse().ok(), ..other.clone() };
    add("connect-logo", &ConnectPage { brand: &logo, ..page });
    add("connect-other-brand", &ConnectPage { brand: &other, customer: &unnamed, ..page });
}

pub(crate) fn whose(org: &str, user: &str, username: Option<&str>, host: &str) -> Whose {
    let sandbox = host.contains("--");
    Whose {
        identity: Identity {
            org: org.parse().expect("an org id"),
            user: user.parse().expect("a user id"),
            username: username.map(str::to_owned),
        },
        environment: if sandbox { Environment::Sandbox } else { Environment::Production },
        instance_url: format!("https://{host}"),
    }
}

/// The confirm page for one of its kinds of change.
pub(crate) fn confirm_page<'a>(
    brand: &'a Brand,
    app: &'a App,
    customer: &'a Customer,
    change: &'a Change,
) -> ConfirmPage<'a> {
    ConfirmPage {
        nonce: NONCE,
        brand,
        app,
        customer,
        action: "/connect/ck_sample/confirm",
        change,
        minutes: 30,
    }
}

fn confirm(add: &mut dyn FnMut(&str, &dyn Shown)) {
    const ORG: &str = "00DgK0000000001UAA";
    const UMA: (&str, Option<&str>) = ("005gK000000002fUAA", Some("uma@harbourpine.example"));
    const HOST: &str = "harbourpine.my.salesforce.com";
    const UAT: &str = "harbourpine--uat.sandbox.my.salesforce.com";
    let (brand, app, customer) = (brand(), app(AppKind::ConnectedApp), customer());
    let uma = || whose(ORG, UMA.0, UMA.1, HOST);
    let in_uat = |org| whose(org, UMA.0, Some("uma@harbourpine.example.uat"), UAT);
    for (name, before, after) in [
        ("confirm-user", uma(), whose(ORG, "005gK000000002eUAA", Some("ada@harbourpine.example"), HOST)),
        (
            "confirm-org",
            uma(),
            whose("00DgK0000000002UAA", "005gK000000003UUAA", None, "tidalworks.my.salesforce.com"),
        ),
        ("confirm-sandbox", in_uat("00DgK0000000003UAA"), in_uat("00DgK0000000009UAA")),
    ] {
        add(name, &confirm_page(&brand, &app, &customer, &Change { before, after }));
    }
}

fn trouble(add: &mut dyn FnMut(&str, &dyn Shown)) {
    let (brand, app, customer) = (brand(), app(AppKind::ConnectedApp), customer());
    let page = TroublePage {
        nonce: NONCE,
        brand: &brand,
        app: &app,
        customer: &customer,
        action: TROUBLE,
        back: CONNECT,
        seen: None,
        nothing_given: false,
    };
    add("trouble", &page);
    add("trouble-nothing-given", &TroublePage { nothing_given: true, ..page });
    add("trouble-chosen", &TroublePage { seen: Some(Seen::RawText), ..page });
}

fn help_pages(add: &mut dyn FnMut(&str, &dyn Shown)) {
    let (brand, app, customer) = (brand(), app(AppKind::ConnectedApp), customer());
    let (reported, nothing) = (evidence(), evidence::observed(Surface::Unknown, None, None, None));

    let diagnosis = diagnosis(&[
        (&causes::NOT_INSTALLED, Confidence::Likely),
        (&causes::DENIED, Confidence::Possible),
        (&causes::WRONG_SECRET, Confidence::Possible),
    ]);
    let admins = HelpPage {
        environment: Some(Environment::MyDomain),
        setup_origin: Some("https://harbourpine.my.salesforce.com"),
        retry: Some(WayOn::Product(BACK)),
        tell_more: Some(TROUBLE),
        ..help(&brand, &app, &customer, &diagnosis, &reported)
    };
    add("help-admin", &admins);
    add(
        "help-admin-little-known",
        &HelpPage {
            setup_origin: None,
            environment: None,
            status: None,
            retry: None,
            tell_more: None,
            evidence: &nothing,
            ..admins
        },
    );
    for (name, note) in [
        ("help-paste-empty", PasteNote::Empty),
        ("help-paste-unknown", PasteNote::Unknown),
        ("help-paste-too-many", PasteNote::TooMany),
    ] {
        add(name, &HelpPage { paste_note: Some(note), ..admins });
    }
    add("help-wave-app", &HelpPage { wave: Some(Scope::App), ..admins });
    add("help-wave-org", &HelpPage { wave: Some(Scope::Org), ..admins });
    add("help-resolved", &HelpPage { state: HelpState::Resolved, ..admins });
    let external = self::app(AppKind::ExternalClientApp);
    add(
        "help-admin-external-client-app",
        &HelpPage { app: &external, environment: Some(Environment::Sandbox), ..admins },
    );
    let unpackaged = App { packages: Packages::default(), ..self::app(AppKind::ConnectedApp) };
    add("help-admin-without-package", &HelpPage { app: &unpackaged, ..admins });

    let refused = evidence::callback("access_denied", Some("end-user denied authorization"));
    let token =
        evidence::token_endpoint(Some("invalid_client"), Some("invalid client credentials"), Some(400));
    for (name, cause, evidence, retry) in [
        ("help-end-user", &causes::DENIED, &refused, WayOn::Connect(CONNECT)),
        ("help-vendor", &causes::WRONG_SECRET, &token, WayOn::Product(BACK)),
        ("help-wait", &causes::PROPAGATING, &nothing, WayOn::Connect(CONNECT)),
    ] {
        let diagnosis = self::diagnosis(&[(cause, Confidence::Sure)]);
        add(name, &HelpPage { retry: Some(retry), ..help(&brand, &app, &customer, &diagnosis, evidence) });
    }
}

/// The catalogue's own guides: for each kind of app, packaged and not.
fn guides(add: &mut dyn FnMut(&str, &dyn Shown)) {
    let without_package = |kind| App { packages: Packages::default(), ..app(kind) };
    let other = App {
        id: "insights".parse().expect("an id"),
        names: vec!["Fernway Insights".into()],
        ..app(AppKind::ExternalClientApp)
    };
    let silent = Brand { support: Support::default(), ..brand() };
    for (name, product) in [
        ("connected-app", product(brand(), vec![app(AppKind::ConnectedApp), other.clone()])),
        (
            "connected-app-without-package",
            product(
                brand(),
                vec![App { names: vec!["Fernway".into()], ..without_package(AppKind::ConnectedApp) }],
            ),
        ),
        ("external-client-app", product(brand(), vec![other.clone(), app(AppKind::ConnectedApp)])),
        (
            "external-client-app-without-package",
            product(silent, vec![without_package(AppKind::ExternalClientApp)]),
        ),
    ] {
        add(&format!("guide-admin-{name}"), &guide(&product, Audience::Admin));
        add(&format!("guide-vendor-{name}"), &guide(&product, Audience::Vendor));
    }
}

fn notices(add: &mut dyn FnMut(&str, &dyn Shown)) {
    let (brand, customer) = (brand(), customer());
    let back = WayOn::Product(BACK);
    for (name, page) in [
        ("notice-unknown-link", NoticePage::unknown_link(NONCE)),
        ("notice-expired-link", NoticePage::expired_link(NONCE, &brand).with_way_on(back)),
        ("notice-used-link", NoticePage::used_link(NONCE, &brand).with_way_on(back)),
        ("notice-already-connected", NoticePage::already_connected(NONCE, &brand, &customer, back)),
        ("notice-stray-callback", NoticePage::stray_callback(NONCE)),
        ("notice-other-browser", NoticePage::other_browser(NONCE, &brand).with_way_on(back)),
        ("notice-finished-elsewhere", NoticePage::finished_elsewhere(NONCE, &brand).with_way_on(back)),
        ("notice-not-found", NoticePage::not_found(NONCE)),
        ("notice-bad-request", NoticePage::bad_request(NONCE)),
        (
            "notice-bad-query",
            NoticePage::bad_query(NONCE, "aap is not a parameter of this call. Allowed: product, app."),
        ),
        ("notice-internal-error", NoticePage::internal_error(NONCE, "LK-7H3K-9QZM")),
        ("notice-internal-error-branded", NoticePage::internal_error(NONCE, "LK-7H3K-9QZM").branded(&brand)),
    ] {
        add(name, &page);
    }
}

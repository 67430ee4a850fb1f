//! Every route, with the attacks on it. A route without a row fails the test, and so does a row that leaves out an
//! attack that routes of its kind must stand.

use web::routes::{Parameters, ROUTES, RouteSpec};

/// What an attacker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Cookies under every name, with every value that can be made from what is held.
    ForgedCookies,
    /// The attacker's own cookies, good for an attempt of their own.
    OwnCookies,
    /// A form that another site makes the victim's browser send, with the victim's cookies.
    OtherSitesForm,
    /// A visit that the victim's browser makes before the victim asks for it.
    Prefetch,
    /// Every method that the path does not take, `HEAD` among them, with the victim's cookies and with the other
    /// product's key.
    OtherMethods,
    /// A parameter, or a member of the body, that the route does not take.
    UnknownParameter,
    /// A parameter, or a member of the body, twice.
    RepeatedParameter,
    /// The key of another product, for what is not that product's.
    OtherProductsKey,
    /// No key, or something made up.
    ForgedKey,
    /// The same request once more, from another browser.
    Replay,
    /// The attacker's own answer of Salesforce, opened in the victim's browser.
    OwnAnswerInVictimsBrowser,
    /// Finding C1 of the security review: a reconnect link is sent to a victim, who signs in; the sender decides.
    C1DecideForVictim,
    /// Finding M1: the right user and another one redeem at the same moment.
    M1RedeemAtOnce,
    /// Finding M3: an operator's session is used after the key that made it was revoked, and its id given away.
    M3SessionOutlivesKey,
}

/// What the attacker may do at a route with what they hold: everything else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// Nothing: every answer is a refusal.
    Nothing,
    /// Nothing, but that strangers are counted, up to a bound.
    Counted,
    /// A page that says nothing about a person, to whoever has the address.
    Page,
    /// What is the attacker's own: another product's key is a key.
    Own,
    /// The same, and what it writes: items of these kinds, none of them the victims'.
    Writes(&'static [&'static str]),
}

/// One route.
pub(crate) struct Row {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) gives: Gives,
    pub(crate) attacks: &'static [Attack],
}

use Attack::{
    C1DecideForVictim, ForgedCookies, ForgedKey, M1RedeemAtOnce, M3SessionOutlivesKey, OtherMethods,
    OtherProductsKey, OtherSitesForm, OwnAnswerInVictimsBrowser, OwnCookies, Prefetch, RepeatedParameter,
    Replay, UnknownParameter,
};

const fn row(method: &'static str, path: &'static str, gives: Gives, attacks: &'static [Attack]) -> Row {
    Row { method, path, gives, attacks }
}

/// What every page must stand.
const VISIT: &[Attack] =
    &[ForgedCookies, OwnCookies, Prefetch, OtherMethods, UnknownParameter, RepeatedParameter];
/// What every form must stand.
const FORM: &[Attack] =
    &[ForgedCookies, OwnCookies, OtherSitesForm, OtherMethods, UnknownParameter, RepeatedParameter];
/// What every call of the API must stand.
const CALL: &[Attack] = &[ForgedKey, OtherProductsKey, OtherMethods, UnknownParameter, RepeatedParameter];

pub(crate) const TABLE: &[Row] = &[
    row("POST", "/v1/connect-sessions", Gives::Nothing, CALL),
    row("GET", "/v1/connect-sessions/{id}", Gives::Nothing, CALL),
    row("GET", "/connect/{key}", Gives::Page, VISIT),
    // Who holds a link of an open session may set out: with a new attempt, bound to their own browser.
    row("POST", "/connect/{key}", Gives::Writes(&["SESSION#", "ATTEMPT#"]), FORM),
    row(
        "GET",
        "/oauth/callback",
        Gives::Counted,
        &[
            ForgedCookies,
            OwnCookies,
            Prefetch,
            OtherMethods,
            UnknownParameter,
            RepeatedParameter,
            Replay,
            OwnAnswerInVictimsBrowser,
        ],
    ),
    row(
        "GET",
        "/connect/{key}/confirm",
        Gives::Nothing,
        &[
            ForgedCookies,
            OwnCookies,
            Prefetch,
            OtherMethods,
            UnknownParameter,
            RepeatedParameter,
            C1DecideForVictim,
        ],
    ),
    row(
        "POST",
        "/connect/{key}/confirm",
        Gives::Nothing,
        &[
            ForgedCookies,
            OwnCookies,
            OtherSitesForm,
            OtherMethods,
            UnknownParameter,
            RepeatedParameter,
            C1DecideForVictim,
        ],
    ),
    row(
        "POST",
        "/v1/connect-sessions/{id}/redeem",
        Gives::Nothing,
        &[
            ForgedKey,
            OtherProductsKey,
            OtherMethods,
            UnknownParameter,
            RepeatedParameter,
            Replay,
            M1RedeemAtOnce,
        ],
    ),
    row("GET", "/v1/connections", Gives::Own, CALL),
    row("POST", "/v1/connections", Gives::Nothing, CALL),
    row("GET", "/v1/connections/{id}", Gives::Nothing, CALL),
    row("DELETE", "/v1/connections/{id}", Gives::Nothing, CALL),
    row("GET", "/v1/connections/{id}/token", Gives::Nothing, CALL),
    row("POST", "/v1/connections/{id}/token", Gives::Nothing, CALL),
    row("POST", "/v1/connections/{id}/check", Gives::Nothing, CALL),
    row("GET", "/connect/{key}/trouble", Gives::Page, VISIT),
    // Who holds the link may say what Salesforce showed: also from an in-app browser that lost its cookies.
    row("POST", "/connect/{key}/trouble", Gives::Writes(&["SESSION#", "FAILURE#"]), FORM),
    row("GET", "/help/{id}", Gives::Page, VISIT),
    // Who holds a help link may say more: it changes neither session nor connection.
    row("POST", "/help/{id}", Gives::Writes(&["FAILURE#", "REPORT#"]), FORM),
    row("GET", "/help/{id}/status", Gives::Page, VISIT),
    row("POST", "/v1/connections/{id}/failures", Gives::Nothing, CALL),
    row("GET", "/guides/{product}/{app}", Gives::Page, VISIT),
    row("GET", "/guides/{product}/{app}/vendor", Gives::Page, VISIT),
    row("GET", "/guides/{product}/{app}/packaging", Gives::Page, VISIT),
    row("GET", "/healthz", Gives::Page, VISIT),
    row("GET", "/v1/failures", Gives::Own, CALL),
    row("GET", "/v1/failures/summary", Gives::Own, CALL),
    row("GET", "/v1/events", Gives::Own, CALL),
    row("GET", "/v1/events/{id}", Gives::Nothing, CALL),
    row("POST", "/v1/events/{id}/redeliver", Gives::Nothing, CALL),
    // Another product's key tests that product's own endpoints.
    row("POST", "/v1/webhooks/test", Gives::Writes(&["EVENT#"]), CALL),
    row("POST", "/v1/ops-links", Gives::Writes(&["OPSLINK#"]), CALL),
    row(
        "GET",
        "/ops",
        Gives::Nothing,
        &[
            ForgedCookies,
            OwnCookies,
            Prefetch,
            OtherMethods,
            UnknownParameter,
            RepeatedParameter,
            M3SessionOutlivesKey,
        ],
    ),
    row("POST", "/ops/search", Gives::Nothing, FORM),
    row("GET", "/ops/failures", Gives::Nothing, VISIT),
    row("GET", "/ops/endpoints/{endpoint}", Gives::Nothing, VISIT),
    row("GET", "/ops/customers/{customer}", Gives::Nothing, VISIT),
    row("GET", "/ops/sign-in/{key}", Gives::Page, VISIT),
    row(
        "POST",
        "/ops/sign-in/{key}",
        Gives::Nothing,
        &[
            ForgedCookies,
            OwnCookies,
            OtherSitesForm,
            OtherMethods,
            UnknownParameter,
            RepeatedParameter,
            Replay,
        ],
    ),
    row("POST", "/ops/sign-out", Gives::Page, FORM),
];

/// The row of a route.
pub(crate) fn of(route: &RouteSpec) -> Option<&'static Row> {
    TABLE.iter().find(|row| (row.method, row.path) == (route.method, route.path))
}

/// The attacks that a route of this kind must stand.
fn required(route: &RouteSpec) -> &'static [Attack] {
    match (route.is_api(), route.method) {
        (true, _) => CALL,
        (false, "POST") => FORM,
        (false, _) => VISIT,
    }
}

#[test]
fn every_route_has_a_row_with_the_attacks_of_its_kind() {
    let mut wrong = Vec::new();
    for route in ROUTES {
        let name = format!("{} {}", route.method, route.path);
        let Some(row) = of(route) else {
            wrong.push(format!("{name} has no row: say what an attacker can send there"));
            continue;
        };
        let left_out: Vec<_> =
            required(route).iter().filter(|attack| !row.attacks.contains(attack)).collect();
        if !left_out.is_empty() {
            wrong.push(format!("{name} leaves out {left_out:?}"));
        }
    }
    let stale = TABLE
        .iter()
        .filter(|row| !ROUTES.iter().any(|route| (route.method, route.path) == (row.method, row.path)));
    wrong.extend(stale.map(|row| format!("{} {} is no route", row.method, row.path)));
    assert_eq!(TABLE.len(), ROUTES.len(), "one row for each");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_findings_that_were_exploited_are_attacks_by_name() {
    for finding in [C1DecideForVictim, M1RedeemAtOnce, M3SessionOutlivesKey] {
        assert!(TABLE.iter().any(|row| row.attacks.contains(&finding)), "{finding:?}");
    }
}

#[test]
fn testing_page_counts_the_routes() {
    let page = include_str!("../../../../../docs/testing.md");
    let of_api = ROUTES.iter().filter(|route| route.is_api()).count();
    let counted = format!("{} routes, {of_api} of them of the API", ROUTES.len());
    assert!(page.contains(&counted), "docs/testing.md must say: {counted}");
}

/// The declared parameters of a route; a page that ignores its query declares none.
pub(crate) fn declared(route: &RouteSpec) -> &'static [&'static str] {
    match route.query {
        Parameters::Only(names) => names,
        Parameters::Any => &[],
    }
}

//! How many texts that people posted are read as what they mean. docs/pastes-sealed.md tells where they come from.

use std::fmt::Write;

use diagnosis::{Context, cause, diagnose, read_paste};
use domain::{AppKind, Stage};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A text that somebody posted, without names and secrets.
#[derive(Deserialize)]
struct Posted {
    text: String,
    /// The id of the right cause.
    cause: String,
    /// Who acts.
    actor: String,
    /// Other causes that are as right, where the text alone does not decide.
    #[serde(default)]
    also: Vec<String>,
    source: String,
}

/// Minimum share of texts, in percent, whose first cause and actor are right.
const MIN_RIGHT_PERCENT: usize = 90;

/// The causes that a text is read as, the first one first. A text that nobody knows is `unknown`.
fn ranked(text: &str) -> Vec<&'static str> {
    let context = Context {
        stage: Stage::Authorize,
        app_kind: AppKind::ConnectedApp,
        environment: None,
        connected_before: None,
    };
    match read_paste(text) {
        Some(evidence) => {
            diagnose(&evidence, &context).ranked.iter().map(|candidate| candidate.cause.id).collect()
        }
        None => vec!["unknown"],
    }
}

/// How many texts are read right.
struct Score {
    causes: usize,
    actors: usize,
    all: usize,
    /// The texts with a wrong cause.
    wrong: Vec<String>,
}

fn score(lines: &str) -> Score {
    let mut score = Score { causes: 0, actors: 0, all: 0, wrong: Vec::new() };
    for line in lines.lines() {
        let posted: Posted = serde_json::from_str(line).expect("a posted text");
        let ids = ranked(&posted.text);
        let found = cause(ids[0]).expect("a cause of the catalogue");
        let cause_is_right = posted.cause == found.id || posted.also.iter().any(|id| id == found.id);
        let actor_is_right = cause_is_right || found.actor.word() == posted.actor;
        score.all += 1;
        score.causes += usize::from(cause_is_right);
        score.actors += usize::from(actor_is_right);
        if !cause_is_right {
            let Posted { text, cause, source, .. } = posted;
            score.wrong.push(format!("{ids:?}, not {cause}: {text:?} ({source})"));
        }
    }
    score
}

#[test]
fn posted_texts_are_read_right() {
    let Score { causes, actors, all, wrong } = score(include_str!("pastes-open.jsonl"));
    println!("open: cause {causes}, actor {actors} of {all}\n{}", wrong.join("\n"));
    assert!(causes * 100 >= all * MIN_RIGHT_PERCENT, "the first cause of {causes} of {all} is right");
    assert!(actors * 100 >= all * MIN_RIGHT_PERCENT, "the actor of {actors} of {all} is right");
}

/// The sealed texts are those whose hash was recorded before any rule changed. Their score is recorded, not required.
#[test]
fn the_sealed_texts_are_those_that_were_sealed() {
    let sealed = include_str!("pastes-sealed.jsonl");
    let mut hash = String::new();
    for byte in Sha256::digest(sealed) {
        write!(hash, "{byte:02x}").expect("a string takes everything");
    }
    assert!(include_str!("../../../docs/pastes-sealed.md").contains(&hash), "{hash}");
    let Score { causes, actors, all, wrong } = score(sealed);
    println!("sealed: cause {causes}, actor {actors} of {all}\n{}", wrong.join("\n"));
}

#[test]
fn every_label_is_a_cause_with_that_actor() {
    for line in include_str!("pastes-open.jsonl").lines() {
        let posted: Posted = serde_json::from_str(line).expect("a posted text");
        let labeled = cause(&posted.cause).unwrap_or_else(|| panic!("no cause {}", posted.cause));
        assert_eq!(labeled.actor.word(), posted.actor, "{}", posted.cause);
        for other in &posted.also {
            assert!(cause(other).is_some(), "no cause {other}");
        }
    }
}

/// Texts in which a phrase of the catalogue stands across unrelated words, or in another system's message.
const NOT_MEANT: &[(&str, &str)] = &[
    ("I opened the app and then the popup was blocked", "app_blocked"),
    ("blocked by CORS policy: https://app.example.com", "app_blocked"),
    ("Access denied by your company's web filter. Category: business applications", "user_denied"),
    ("This site is blocked by your organization", "app_blocked"),
    ("Access denied", "user_denied"),
    ("the data has not been installed on this computer", "app_not_installed"),
    ("We use PKCE. Yesterday the nightly job failed", "code_verifier_invalid"),
    ("please log in as usual and try again", "login_as_used"),
    ("our api only returns 50 rows", "license_insufficient"),
    ("OAUTH_APP_BLOCKED_BY_POLICY", "app_blocked"),
    ("error=invalid_client_metadata", "app_not_installed"),
    (
        "AADSTS700016: Application with identifier 'https://acme.my.salesforce.com' was not found",
        "wrong_host",
    ),
    (
        "AADSTS50105: The signed in user is not assigned to a role for the application 'Salesforce'",
        "user_not_approved",
    ),
    (
        "account-d.docusign.com {\"error\":\"invalid_grant\",\"error_description\":\"unauthorized_client\"}",
        "grant_expired_or_revoked",
    ),
    ("getaddrinfo ENOTFOUND api.example.com", "wrong_host"),
];

#[test]
fn loose_phrases_do_not_match() {
    for (text, wrong) in NOT_MEANT {
        assert_ne!(ranked(text)[0], *wrong, "{text}");
    }
}

#[test]
fn other_systems_are_named_as_such() {
    for text in [
        "AADSTS50105: The signed in user is not assigned to a role for the application 'Salesforce'",
        "Sorry, but we’re having trouble signing you in. AADSTS90072",
        "https://account.docusign.com/oauth/auth?error=invalid_grant",
        "https://acme.okta.com/app/salesforce/exk1/sso/saml gave 403 App Access Locked",
        "https://mc123.auth.marketingcloudapis.com/v2/token {\"error\":\"invalid_client\"}",
    ] {
        assert_eq!(ranked(text)[0], "not_salesforce", "{text}");
    }
}

#[test]
fn a_second_error_ranks_second() {
    for (text, first, second) in [
        (
            "{\"error\":\"OAUTH_APP_BLOCKED\"}\n{\"error\":\"invalid_grant\",\"error_description\":\"ip restricted\"}",
            "app_blocked",
            "ip_restricted",
        ),
        (
            "error=invalid_scope&error_description=the+requested+scope+is+not+allowed\n\nLogin History: Failed: Computer activation required",
            "scope_not_allowed",
            "identity_check",
        ),
        (
            "OAUTH_APP_ACCESS_DENIED : user is not admin approved to access this app\nlater: INVALID_LOGIN: Invalid username, password, security token; or user locked out.",
            "user_not_approved",
            "sign_in_failed",
        ),
    ] {
        assert_eq!(ranked(text)[..2], [first, second], "{text}");
    }
}

#[test]
fn the_apology_is_no_evidence_beside_a_code() {
    let apology = "We can't authorize you because of an OAuth error. For more information, contact your Salesforce administrator.";
    for (code, expected) in [
        ("1800 : There was a problem in setting up your remote access", "approval_page_failed"),
        ("1703 : error", "oauth_one"),
        ("error=redirect_uri_mismatch", "redirect_uri_mismatch"),
    ] {
        let ids = ranked(&format!("{apology}\n\n{code}"));
        assert_eq!(ids[0], expected, "{code}");
        assert!(!ids.contains(&"app_not_installed"), "{code}: {ids:?}");
    }
}

#[test]
fn salesforces_own_sign_in_and_its_notices_are_known() {
    for (text, expected) in [
        (
            "Please check your username and password. If you still can't log in, contact your Salesforce administrator.",
            "sign_in_failed",
        ),
        ("Your password has expired. Please reset your password.", "sign_in_failed"),
        (
            "Verify Your Identity. You're trying to log in to Salesforce. Enter the verification code we emailed to j@acme.example",
            "identity_check",
        ),
        (
            "We can't log you in because of an issue with single sign-on. Contact your Salesforce admin for help.",
            "sso_failed",
        ),
        (
            "Single Sign-On Error. We can't log you in. Check for an invalid assertion in the SAML Assertion Validator",
            "sso_failed",
        ),
        (
            "This site can't be reached. acme-typo.my.salesforce.com's DNS address could not be found. DNS_PROBE_FINISHED_NXDOMAIN",
            "wrong_host",
        ),
        ("NET::ERR_CERT_COMMON_NAME_INVALID acme--uat.my.salesforce.com", "wrong_host"),
        ("Failed: Missing Consumer Key Parameter", "request_malformed"),
        ("Organization is in maintenance", "org_maintenance"),
        (
            "Web Page Blocked! You have tried to access a web page that is in violation of your company policy. FortiGuard",
            "web_filter",
        ),
        ("NET::ERR_CERT_AUTHORITY_INVALID login.salesforce.com", "web_filter"),
        ("We changed our My Domain last night and since then it does not work", "my_domain_changed"),
        (
            "Salesforce froze our integration user after a login from a high-risk IP address",
            "contained_by_salesforce",
        ),
        ("{\"error\":\"invalid_dpop_proof\"}", "dpop_required"),
        ("{\"error\":\"use_dpop_nonce\",\"error_description\":\"a nonce is required\"}", "dpop_required"),
        (
            "11/30/2026 9:12 AM\tRemote Access 2.0\tSuccess\tAcme Sync\n11/30/2026 9:14 AM\tRemote Access 2.0\tSuccess\tAcme Sync",
            "not_an_error",
        ),
    ] {
        assert_eq!(ranked(text)[0], expected, "{text}: {:?}", read_paste(text));
    }
}

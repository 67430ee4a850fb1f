//! Every value of Salesforce's `LOGIN_STATUS` reference, as code and as Login History shows it, has a cause.
//! docs/salesforce.md, 1.9, has the reference's address.

use diagnosis::{Context, diagnose, read_paste};
use domain::{AppKind, Stage};

const CONTEXT: Context = Context {
    stage: Stage::Authorize,
    app_kind: AppKind::ConnectedApp,
    environment: None,
    connected_before: None,
};

/// The cause, then each value with its text. A text that two values share is left out where it decides nothing.
const STATUSES: &[(&str, &[(&str, &str)])] = &[
    (
        "identity_check",
        &[
            ("LOGIN_CHALLENGE_ISSUED", "Failed: Computer activation required"),
            ("LOGIN_CHALLENGE_PENDING", "Failed: Computer activation pending"),
            ("LOGIN_TWOFACTOR_REQ", "Multi-factor (formerly called two-factor) is required"),
            ("LOGIN_LIGHTNING_LOGIN", "Lightning Login required"),
        ],
    ),
    (
        "sign_in_failed",
        &[
            ("LOGIN_ERROR_INVALID_PASSWORD", "Invalid password"),
            ("LOGIN_ERROR_SSO_PWD_INVALID", ""),
            ("LOGIN_ERROR_INVALID_USERNAME", ""),
            ("LOGIN_ERROR_PASSWORD_LOCKOUT", "Password lockout"),
            ("LOGIN_ERROR_CSS_PW_LOCKOUT", ""),
            ("LOGIN_ERROR_MUST_USE_API_TOKEN", "Failed: API security token required"),
            ("LOGIN_ERROR_PASSWORD_EMPTY", ""),
            ("LOGIN_ERROR_USERNAME_EMPTY", ""),
            ("LOGIN_ERROR_INVALID_ID_FIELD", ""),
            ("LOGIN_ERROR_DUPLICATE_USERNAME", ""),
            ("LOGIN_ERROR_UNKNOWN_ERROR", "Login invalid"),
        ],
    ),
    (
        "user_inactive",
        &[
            ("LOGIN_ERROR_USER_INACTIVE", "User is inactive"),
            ("LOGIN_ERROR_USER_FROZEN", "User is frozen"),
            ("LOGIN_ERROR_CSS_FROZEN", ""),
        ],
    ),
    (
        "login_restricted",
        &[
            ("LOGIN_ERROR_RESTRICTED_TIME", "Restricted time"),
            ("LOGIN_ERROR_EXPORT_RESTRICTED", "Restricted country"),
            ("LOGIN_END_SESSION_TXN_SECURITY_POLICY", ""),
            ("LOGIN_ERROR_CLIENT_NO_ACCESS", ""),
            ("LOGIN_SAML_INVALID_SESSION_LEVEL", ""),
        ],
    ),
    (
        "ip_restricted",
        &[
            ("LOGIN_ERROR_RESTRICTED_DOMAIN", "Restricted IP"),
            ("LOGIN_OAUTH_INVALID_IP", "Failed: IP Address Not Allowed"),
        ],
    ),
    (
        "wrong_host",
        &[
            ("LOGIN_ERROR_ORG_DOMAIN_ONLY", "Restricted domain"),
            ("LOGIN_ERROR_GLOBAL_BLOCK_DOMAIN", "Restricted domain"),
            ("LOGIN_ERROR_SWITCH_SFDC_INSTANCE", ""),
            ("LOGIN_ERROR_SWITCH_SFDC_LOGIN", ""),
            ("LOGIN_ERROR_INVALID_GATEWAY", "Invalid gateway"),
        ],
    ),
    (
        "org_inactive",
        &[
            ("LOGIN_ERROR_ORG_CLOSED", "Organization closed"),
            ("LOGIN_ERROR_ORG_INACTIVE", "Organization is inactive"),
            ("LOGIN_ERROR_ORG_LOCKOUT", "Organization locked"),
            ("LOGIN_ERROR_ORG_SUSPENDED", "Organization suspended"),
            ("LOGIN_ORG_TRIAL_EXP", "Trial Expired"),
            ("LOGIN_ERROR_ORG_SIGNING_UP", ""),
            ("LOGIN_ERROR_ORG_IS_DOT_ORG", "Organization is a DOT"),
        ],
    ),
    (
        "org_maintenance",
        &[
            ("LOGIN_ERROR_ORG_IN_MAINTENANCE", "Organization is in maintenance"),
            ("LOGIN_READONLY_CANNOT_VALIDATE", ""),
            ("LOGIN_DATA_DOWNLOAD_ONLY", ""),
        ],
    ),
    (
        "salesforce_unavailable",
        &[
            ("LOGIN_ERROR_SYSTEM_DOWN", ""),
            ("LOGIN_ERROR_STORE_DOWN", ""),
            ("LOGIN_ERROR_STORE", ""),
            ("LOGIN_ERROR_HT_DOWN", ""),
            ("LOGIN_ERROR_APPEXCHANGE_DOWN", "Unable to process your login request"),
            ("LOGIN_ERROR_ASYNC_USER_CREATE", ""),
        ],
    ),
    ("login_rate_exceeded", &[("LOGIN_ERROR_RATE_EXCEEDED", "Login rate exceeded")]),
    (
        "rate_limit_exceeded",
        &[
            ("LOGIN_ERROR_LOGINS_EXCEEDED", "Maximum logins exceeded"),
            ("LOGIN_OAUTH_EXCEED_GET_AT_LMT", "Failed: Get Access Token Limit Exceeded"),
        ],
    ),
    (
        "license_insufficient",
        &[
            ("LOGIN_ERROR_USER_API_ONLY", "Failed: API-only user"),
            ("LOGIN_ERROR_USER_NON_MOBILE", "Failed: Mobile license required"),
            ("LOGIN_ERROR_USER_STORE_ACCESS", ""),
            ("LOGIN_ERROR_SYNCOFFLINE_DISBLD", "Failed: Mobile disabled"),
            ("LOGIN_ERROR_OFFLINE_DISABLED", "Offline disabled"),
            ("LOGIN_ERROR_OFFLINE_TRIAL_EXP", ""),
            ("LOGIN_ERROR_OUTLOOK_DISABLED", "Outlook integration disabled"),
            ("LOGIN_ERROR_WIRELESS_DISABLED", "Wireless disabled"),
            ("LOGIN_ERROR_WIRELESS_TRIAL_EXP", ""),
            ("LOGIN_ERROR_AVANTGO_DISABLED", ""),
            ("LOGIN_ERROR_AVANTGO_TRIAL_EXP", ""),
        ],
    ),
    (
        "site_unavailable",
        &[
            ("LOGIN_ERROR_NETWORK_INACTIVE", "Invalid - Experience Cloud site offline"),
            ("LOGIN_ERROR_NO_NETWORK_ACCESS", "No Experience Cloud site access"),
            ("LOGIN_ERROR_NO_NETWORK_INFO", ""),
            ("LOGIN_ERROR_NO_PORTAL_ACCESS", "Invalid profile association"),
            ("LOGIN_ERROR_PORTAL_INACTIVE", "Invalid - Portal disabled"),
            ("LOGIN_ERROR_NO_HT_ACCESS", ""),
            ("LOGIN_SAML_SITE_INACTIVE", "Failed: Specified Site is Inactive"),
        ],
    ),
    ("mutual_tls_required", &[("LOGIN_ERROR_MUTUAL_AUTHENTICATION", "Mutual authentication failed")]),
    (
        "sso_failed",
        &[
            ("LOGIN_ERROR_SSO_SVC_DOWN", "Your company's authentication service is down"),
            ("LOGIN_ERROR_SSO_URL_INVALID", "The Single Sign-On Gateway URL is invalid"),
            ("LOGIN_SAML_INVALID_AUDIENCE", "Failed: Audience Invalid"),
            ("LOGIN_SAML_INVALID_CONFIG", "Failed: Configuration Error/Perm Disabled"),
            ("LOGIN_SAML_INVALID_FORMAT", "Failed: Assertion Invalid"),
            ("LOGIN_SAML_INVALID_IN_RES_TO", "Failed: InResponseTo Invalid"),
            ("LOGIN_SAML_INVALID_ISSUER", "Failed: Issuer Mismatched"),
            ("LOGIN_SAML_INVALID_ORG_ID", "Failed: Invalid Organization Id"),
            ("LOGIN_SAML_INVALID_PORTAL_ID", "Failed: Invalid Portal Id"),
            ("LOGIN_SAML_INVALID_RECIPIENT", "Failed: Recipient Mismatched"),
            ("LOGIN_SAML_INVALID_SIGNATURE", "Failed: Signature Invalid"),
            ("LOGIN_SAML_INVALID_SITE_URL", "Failed: Invalid Site URL"),
            ("LOGIN_SAML_INVALID_STATUS", "Failed: Status Invalid"),
            ("LOGIN_SAML_INVALID_SUB_CONFIRM", "Failed: Subject Confirmation Error"),
            ("LOGIN_SAML_INVALID_TIMESTAMP", "Failed: Assertion Expired"),
            ("LOGIN_SAML_INVALID_USERNAME", "Failed: Username Or SSO Id Invalid"),
            ("LOGIN_SAML_INVALID_VERSION", ""),
            ("LOGIN_SAML_MISMATCH_CERT", "Failed: Signature Invalid/Configured Certificate Mismatch"),
            ("LOGIN_SAML_MISSING_ORG_ID", "Failed: Missing Organization Id for Portal login"),
            ("LOGIN_SAML_MISSING_PORTAL_ID", "Failed: Missing Portal Id"),
            ("LOGIN_SAML_PROVISION_ERROR", "Failed: SAML Provision Error"),
            ("LOGIN_SAML_REPLAY_ATTEMPTED", "Failed: Replay Detected"),
        ],
    ),
    ("api_disabled", &[("LOGIN_OAUTH_API_DISABLED", "Failed: OAuth API access disabled")]),
    (
        "app_not_installed",
        &[("LOGIN_OAUTH_PACKAGE_MISSING", "Package for this consumer is not installed in your organization")],
    ),
    (
        "package_outdated",
        &[("LOGIN_OAUTH_PACKAGE_OLD", "Installed package for this consumer is out of date")],
    ),
    ("client_id_invalid", &[("LOGIN_OAUTH_CONSUMER_DELETED", "Failed: Consumer Deleted")]),
    ("redirect_uri_mismatch", &[("LOGIN_OAUTH_NO_CALLBACK_URL", "Failed: Invalid Callback URL")]),
    (
        "code_verifier_invalid",
        &[
            ("LOGIN_OAUTH_INVALID_CODE_CHALLENGE", "Failed: Invalid Code Challenge"),
            ("LOGIN_OAUTH_INVALID_CODE_VERIFIER", "Failed: Invalid Code Verifier"),
        ],
    ),
    ("grant_expired_or_revoked", &[("LOGIN_OAUTH_INVALID_TOKEN", "Failed: Invalid Token")]),
    (
        "code_expired_or_reused",
        &[
            ("LOGIN_OAUTH_INVALID_NONCE", "Failed: Invalid Nonce"),
            ("LOGIN_OAUTH_NONCE_REPLAY", "Failed: Nonce Replay Detected"),
        ],
    ),
    (
        "oauth_one",
        &[
            ("LOGIN_OAUTH_INVALID_DSIG", ""),
            ("LOGIN_OAUTH_INVALID_SIG_METHOD", "Failed: Invalid Signature Method"),
            ("LOGIN_OAUTH_INVALID_TIMESTAMP", "Failed: Invalid Timestamp"),
            ("LOGIN_OAUTH_INVALID_VERIFIER", "Failed: Invalid Verifier"),
            ("LOGIN_OAUTH_INVALID_VERSION", "Failed: Version Not Supported"),
            ("LOGIN_OAUTH_NO_TOKEN", "Missing OAuth Token Parameter"),
        ],
    ),
    (
        "request_malformed",
        &[
            ("LOGIN_OAUTH_UNEXPECTED_PARAM", "Failed: Unexpected parameter"),
            ("LOGIN_OAUTH_NO_CONSUMER", "Missing Consumer Key Parameter"),
            ("LOGIN_ERROR_INSECURE_LOGIN", "Failed: Login over insecure channel"),
            ("LOGIN_ERROR_HTP_METHD_INVALID", "Failed: Invalid HTTP method"),
            ("LOGIN_ERROR_API_TOO_OLD", "Failed: API Version Removed."),
            ("LOGIN_ERROR_CLIENT_REQ_UPDATE", "Failed: Client update required"),
        ],
    ),
    ("approval_page_failed", &[("LOGIN_ERROR_NO_SET_COOKIES", "")]),
    ("approval_expired", &[("LOGIN_ERROR_SESSION_TIMEOUT", ""), ("LOGIN_ERROR_PAGE_REQUIRES_LOGIN", "")]),
    (
        "grant_expired_or_revoked",
        &[
            ("LOGIN_OAUTH_INVALID_DEVICE", "Failed: Device Id missing or not registered"),
            ("LOGIN_OAUTH_INVALID_DS", "Failed: Activation secret invalid"),
            ("LOGIN_OAUTH_MISSING_DS", "Activation secret missing"),
            ("LOGIN_OAUTH_DS_NOT_EXPECTED", "Failed: Activation secret not expected"),
        ],
    ),
    ("not_an_error", &[("LOGIN_NO_ERROR", "")]),
];

fn cause(text: &str) -> &'static str {
    read_paste(text).map_or("unknown", |evidence| diagnose(&evidence, &CONTEXT).cause().id)
}

#[test]
fn every_login_status_has_its_cause() {
    let mut wrong = Vec::new();
    for (expected, values) in STATUSES {
        for (code, shown) in *values {
            let forms = [
                (*code).to_owned(),
                format!("LOGIN_STATUS: {code}, USER_ID: 005"),
                (*shown).to_owned(),
                format!("11/30/2026, 9:12:03 AM GMT\tRemote Access 2.0\t{shown}\tAcme Sync"),
            ];
            for form in &forms[..if shown.is_empty() { 2 } else { 4 }] {
                let found = cause(form);
                if found != *expected {
                    wrong.push(format!("{form:?} is read as {found}, not {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_the_whole_reference() {
    let codes: std::collections::BTreeSet<&str> =
        STATUSES.iter().flat_map(|(_, values)| values.iter().map(|(code, _)| *code)).collect();
    // Release 264 of the reference has 116 values; `LOGIN_ERROR_INVALID_USERNAME` is in release 210 only.
    println!("{} values", codes.len());
    assert!(codes.len() >= 100, "{} values", codes.len());
}

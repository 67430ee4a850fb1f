//! Which refusals of a refresh are known to be final. Salesforce answers `invalid_grant` for limits, locked users and
//! maintenance as well, so this code alone ends nothing (docs/salesforce.md 1.4).

use crate::SalesforceError;

/// Texts of `invalid_grant` that are known to last until a person acts: docs/salesforce.md 1.3 and 1.4, in lower case
/// and without punctuation.
const FINAL_TEXTS: [&str; 10] = [
    "expired access refresh token",
    "token validity expired",
    "inactive user",
    "inactive organization",
    "inactive org",
    "ip restricted",
    "user hasn t approved this consumer",
    "user has not approved this consumer",
    "app is not installed in this org",
    "app must be installed into org",
];

impl SalesforceError {
    /// Whether a refusal says in words that are known to be final that the grant is of no use until a person acts.
    pub fn is_final_refusal(&self) -> bool {
        match self.client_error() {
            Some(("invalid_grant", description)) => {
                let words = words(description);
                FINAL_TEXTS.iter().any(|text| words.contains(&format!(" {text} ")))
            }
            _ => false,
        }
    }

    /// Whether the error code names the obstacle itself (`inactive_user`, `app_blocked`): an admin who is needed for it
    /// is needed whatever the description says. That never ends a grant.
    pub fn names_an_obstacle(&self) -> bool {
        // These say no more than that the token was not accepted.
        const VAGUE: [&str; 5] =
            ["invalid_grant", "invalid_token", "access_denied", "login_error", "invalid_request"];
        self.client_error().is_some_and(|(code, _)| !VAGUE.contains(&code))
    }

    /// Code and description of a refusal that is about the request, and not about a limit or the server's state.
    fn client_error(&self) -> Option<(&str, &str)> {
        match self {
            Self::Refused { status, code, description, .. }
                if (400..500).contains(status) && *status != 429 =>
            {
                Some((code, description))
            }
            _ => None,
        }
    }
}

/// A text's words with single spaces between and around.
fn words(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorFormat;

    fn refused(status: u16, code: &str, description: &str) -> SalesforceError {
        SalesforceError::Refused {
            status,
            code: code.into(),
            description: description.into(),
            format: ErrorFormat::OAuth,
            retry_after: None,
            calls: 1,
        }
    }

    fn is_final(status: u16, code: &str, description: &str) -> bool {
        refused(status, code, description).is_final_refusal()
    }

    #[test]
    fn only_texts_that_are_known_to_be_final_end_a_grant() {
        for text in [
            "expired access/refresh token",
            "Expired Access/Refresh Token.",
            "token validity expired",
            "inactive user",
            "ip restricted",
            "user hasn't approved this consumer",
            "External client app is not installed in this org",
        ] {
            assert!(is_final(400, "invalid_grant", text), "{text}");
        }
        for text in [
            "",
            "login rate exceeded",
            "user is locked",
            "authentication failure",
            "activation secret invalid",
            "token request is already being processed",
            "expired authorization code",
            "outside of login hours",
            "service is under maintenance",
            "identity verification required",
            "no such user in the inactive-users report",
        ] {
            assert!(!is_final(400, "invalid_grant", text), "{text}");
        }
    }

    #[test]
    fn a_server_error_is_never_final_whatever_it_says() {
        for status in [429, 500, 502, 503] {
            assert!(!is_final(status, "invalid_grant", "expired access/refresh token"), "{status}");
        }
    }

    #[test]
    fn a_code_that_names_the_obstacle_needs_no_text() {
        for code in ["inactive_user", "app_blocked", "invalid_app_access"] {
            assert!(refused(400, code, "").names_an_obstacle(), "{code}");
        }
        for (status, code) in
            [(400, "invalid_token"), (400, "invalid_grant"), (429, "app_blocked"), (503, "app_blocked")]
        {
            assert!(!refused(status, code, "").names_an_obstacle(), "{status} {code}");
        }
    }

    /// A challenge, a lockout and a limit pass; their code must not end a grant, whatever else the answer says.
    #[test]
    fn no_code_but_invalid_grant_is_final() {
        for code in [
            "password_lockout",
            "login_challenge_issued",
            "login_twofactor_req",
            "oauth_approval_error_generic",
            "server_error",
            "temporarily_unavailable",
            "invalid_token",
            "never_seen_before",
        ] {
            for text in ["", "expired access/refresh token", "inactive user"] {
                assert!(!is_final(400, code, text), "{code} {text}");
            }
        }
    }
}

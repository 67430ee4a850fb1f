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
    /// Whether a refusal says in words that are known to be final that the grant is of no use until a person acts. An
    /// error code that names the obstacle itself (`inactive_user`, `app_blocked`) needs no words.
    pub fn is_final_refusal(&self) -> bool {
        match self {
            Self::Refused { status, code, description, .. }
                if (400..500).contains(status) && *status != 429 =>
            {
                match code.as_str() {
                    "invalid_grant" => {
                        let words = words(description);
                        FINAL_TEXTS.iter().any(|text| words.contains(&format!(" {text} ")))
                    }
                    // These say no more than that the token was not taken.
                    "invalid_token" | "access_denied" | "login_error" | "invalid_request" => false,
                    _ => true,
                }
            }
            _ => false,
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

    fn is_final(status: u16, code: &str, description: &str) -> bool {
        SalesforceError::Refused {
            status,
            code: code.into(),
            description: description.into(),
            format: ErrorFormat::OAuth,
            retry_after: None,
        }
        .is_final_refusal()
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
        assert!(is_final(400, "inactive_user", ""));
        assert!(!is_final(400, "invalid_token", ""));
    }
}

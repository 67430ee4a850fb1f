//! What is sent in the body of each route's requests.

use crate::attacker::send::Aim;

impl Aim<'_> {
    /// What the route's form sends.
    pub(crate) fn forms(&self) -> &'static [&'static str] {
        match (self.route.method, self.route.path) {
            ("POST", "/connect/{key}") => &["host=production"],
            ("POST", "/connect/{key}/confirm") => &["confirm=yes", "confirm=no"],
            ("POST", "/connect/{key}/trouble") => &["seen=other"],
            ("POST", "/ops/search") => &["q=Acme", "q=c-acme&product=fernway"],
            ("POST", "/help/{id}") => &["pasted=error%3Dinvalid_scope"],
            _ => &[""],
        }
    }

    pub(crate) fn json(&self) -> String {
        if self.route.takes_json { "{}".into() } else { String::new() }
    }

    /// A member that the route's body has.
    pub(crate) fn members(&self) -> &'static [&'static str] {
        match self.route.path {
            "/v1/connect-sessions" | "/v1/connections" => &["app", "user", "customer"],
            "/v1/connect-sessions/{id}/redeem" => &["receipt", "user"],
            "/v1/connections/{id}/token" => &["rejected", "minimum_lifetime"],
            "/v1/connections/{id}/failures" => &["code"],
            "/v1/events/{id}/redeliver" | "/v1/webhooks/test" => &["endpoint"],
            other => panic!("{other} takes a body: name members of it here"),
        }
    }

    /// What the key of another product asks for: what is Fernway's.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let stack = &self.scene.story().stack;
        let connection = &self.scene.attacker.holds.connections[0];
        let customer = r#""customer":{"id":"c-acme","name":"Acme"},"user":"u-alice""#;
        if !self.route.takes_json {
            return vec![String::new()];
        }
        match self.route.path {
            "/v1/connect-sessions" => {
                let theirs = "https://tidewater.example/integrations/salesforce/done";
                let ours = format!("{}/salesforce/return", stack.product);
                vec![
                    format!(r#"{{"app":"sync",{customer},"return_to":"{ours}"}}"#),
                    format!(r#"{{"app":"sync",{customer},"return_to":"{theirs}"}}"#),
                    format!(r#"{{"app":"tidewater",{customer},"return_to":"https://evil.example/"}}"#),
                    format!(
                        r#"{{"app":"tidewater",{customer},"return_to":"{theirs}","connection_id":"{connection}"}}"#
                    ),
                ]
            }
            "/v1/connections" => {
                let token = r#""environment":"production","refresh_token":"5Aep861TSESvWeug_w5Oil7mXqYq""#;
                vec![format!(r#"{{"app":"sync",{customer},{token}}}"#)]
            }
            "/v1/connect-sessions/{id}/redeem" => {
                let receipt = &self.scene.attacker.holds.receipt;
                vec![format!(r#"{{"receipt":"{receipt}","user":"u-alice"}}"#)]
            }
            "/v1/connections/{id}/failures" => vec![r#"{"status":401,"code":"INVALID_SESSION_ID"}"#.into()],
            "/v1/events/{id}/redeliver" | "/v1/webhooks/test" => {
                vec!["{}".into(), r#"{"endpoint":"backend"}"#.into()]
            }
            _ => vec!["{}".into()],
        }
    }
}

//! What an access token can do, asked of Salesforce itself (fact base 1.6, 3.5, P7). Nothing is changed there, and
//! every answer is bounded by [`Http`](crate::Http).

use diagnosis::redact;
use domain::{Identity, secret::AccessToken};
use http::{StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Distrust, Salesforce, SalesforceError,
    answer::{identity, shape},
    error::ErrorFormat,
    token::{not_an_address, unreadable},
};

/// The version of the REST API that is asked: every org has had it since Winter '25.
const VERSION: &str = "v62.0";

/// More registrations of one name than this say nothing of any.
const ROWS: usize = 50;

/// Who a token speaks for, as Salesforce tells it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The org and the user.
    pub identity: Identity,
    /// Whether the user may sign in; `None`: Salesforce did not say.
    pub active: Option<bool>,
}

/// Why something about the app in its org is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The token's user may not read it.
    MayNotAsk,
    /// The org has nothing under the app's names.
    NotListed,
    /// The org has several things under the app's names, which disagree.
    Ambiguous,
    /// Salesforce did not answer.
    NoAnswer,
}

/// What the org says of the app, or why it is not known.
pub type Told = Result<bool, Unknown>;

impl Unknown {
    /// Why, for a person.
    pub fn why(self) -> &'static str {
        match self {
            Self::MayNotAsk => "the connection's user may not read this in the org",
            Self::NotListed => "the org lists nothing under the app's names",
            Self::Ambiguous => "the org lists several apps under the app's names, and they differ",
            Self::NoAnswer => "Salesforce did not answer",
        }
    }
}

impl Salesforce {
    /// Whether the REST API takes the token: the list of its resources, which asks for no permission but the API's.
    pub async fn try_api(&self, instance_url: &str, token: &AccessToken) -> Result<(), SalesforceError> {
        let _: serde_json::Map<String, serde_json::Value> =
            self.ask(instance_url, &format!("/services/data/{VERSION}/"), token).await?;
        Ok(())
    }

    /// Who the token speaks for (OpenID Connect's userinfo, fact base 3.5).
    pub async fn who(&self, instance_url: &str, token: &AccessToken) -> Result<Who, SalesforceError> {
        #[derive(Deserialize)]
        struct Userinfo {
            sub: String,
            preferred_username: Option<String>,
            active: Option<bool>,
        }
        let told: Userinfo = self.ask(instance_url, "/services/oauth2/userinfo", token).await?;
        let mut identity = identity(self.hosts(), &told.sub).ok_or(Distrust::Id)?;
        identity.username = told.preferred_username.map(|name| for_people(&name));
        Ok(Who { identity, active: told.active })
    }

    /// Whether an app of one of these names is installed in the org. It is told by the user's own tokens: those
    /// that were given to an installed app have a menu item (fact base P7). A user who may not read those of others
    /// sees the own ones.
    pub async fn is_installed(&self, instance_url: &str, token: &AccessToken, names: &[String]) -> Told {
        let soql = format!(
            "SELECT AppMenuItemId FROM OauthToken WHERE AppName IN ({}) LIMIT {ROWS}",
            literals(names)
        );
        let rows: Vec<InstalledRow> = self.query(instance_url, token, &soql).await?;
        if rows.is_empty() {
            return Err(Unknown::NotListed);
        }
        Ok(rows.iter().any(|row| row.menu_item.is_some()))
    }

    /// Whether the app of one of these names lets in only users whom an admin has approved (fact base P7).
    pub async fn is_admin_approved_only(
        &self,
        instance_url: &str,
        token: &AccessToken,
        names: &[String],
    ) -> Told {
        let soql = format!(
            "SELECT OptionsAllowAdminApprovedUsersOnly FROM ConnectedApplication WHERE Name IN ({}) LIMIT {ROWS}",
            literals(names)
        );
        let rows: Vec<PolicyRow> = self.query(instance_url, token, &soql).await?;
        let (first, rest) = rows.split_first().ok_or(Unknown::NotListed)?;
        let alike = rest.iter().all(|row| row.admin_approved_only == first.admin_approved_only);
        if alike { Ok(first.admin_approved_only) } else { Err(Unknown::Ambiguous) }
    }

    async fn query<T: DeserializeOwned>(
        &self,
        instance_url: &str,
        token: &AccessToken,
        soql: &str,
    ) -> Result<Vec<T>, Unknown> {
        #[derive(Deserialize)]
        struct Found<T> {
            records: Vec<T>,
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", soql).finish();
        let found = self.ask(instance_url, &format!("/services/data/{VERSION}/query?{query}"), token).await;
        match found {
            Ok(Found { records }) => Ok(records),
            Err(SalesforceError::Refused { status, .. }) if status < 500 => Err(Unknown::MayNotAsk),
            Err(_) => Err(Unknown::NoAnswer),
        }
    }

    /// One GET at the org's own host. The host is checked again: the table is not trusted to name one.
    async fn ask<T: DeserializeOwned>(
        &self,
        instance_url: &str,
        path: &str,
        token: &AccessToken,
    ) -> Result<T, SalesforceError> {
        let origin = self.hosts().own(instance_url).ok_or(Distrust::InstanceUrl)?.origin();
        let request = http::Request::get(format!("{}{path}", origin.ascii_serialization()))
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| not_an_address())?;
        let answer = self.http.send(request).await?;
        let (status, body) = (answer.status(), answer.body());
        if status == StatusCode::OK {
            return serde_json::from_slice(body).map_err(|_| unreadable(&answer));
        }
        Err(refusal(status.as_u16(), body))
    }
}

#[derive(Deserialize)]
struct InstalledRow {
    #[serde(rename = "AppMenuItemId")]
    menu_item: Option<String>,
}

#[derive(Deserialize)]
struct PolicyRow {
    #[serde(rename = "OptionsAllowAdminApprovedUsersOnly")]
    admin_approved_only: bool,
}

/// An API's refusal: `[{"errorCode": "…", "message": "…"}]`, or a bare word such as `Bad_OAuth_Token`.
fn refusal(status: u16, body: &[u8]) -> SalesforceError {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "errorCode")]
        code: String,
        #[serde(default)]
        message: String,
    }
    if let Some(said) = serde_json::from_slice::<Vec<Said>>(body).ok().and_then(|all| all.into_iter().next())
    {
        return api_error(status, &said.code, &said.message);
    }
    match std::str::from_utf8(body).map(str::trim) {
        Ok(word) if is_code(word) => api_error(status, word, ""),
        _ => SalesforceError::Unreadable { status, what: shape(body), retry_after: None, calls: 1 },
    }
}

fn api_error(status: u16, code: &str, description: &str) -> SalesforceError {
    let (code, description) = (redact(code), redact(description));
    SalesforceError::Refused {
        status,
        code,
        description,
        format: ErrorFormat::Api,
        retry_after: None,
        calls: 1,
    }
}

fn is_code(word: &str) -> bool {
    (3..=60).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

/// Names as SOQL's text literals.
fn literals(names: &[String]) -> String {
    let quoted = names.iter().map(|name| format!("'{}'", name.replace('\\', r"\\").replace('\'', r"\'")));
    quoted.collect::<Vec<_>>().join(", ")
}

/// A name that Salesforce told: it is for people to read.
pub(crate) fn for_people(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_literal() {
        assert_eq!(literals(&["Fernway".into(), r"O'Neil \".into()]), r"'Fernway', 'O\'Neil \\'");
    }

    #[test]
    fn refusals_come_in_two_forms() {
        let read = |body: &str| refusal(403, body.as_bytes());
        assert!(matches!(
            read(r#"[{"message":"The REST API is not enabled.","errorCode":"API_DISABLED_FOR_ORG"}]"#),
            SalesforceError::Refused { code, .. } if code == "API_DISABLED_FOR_ORG"
        ));
        assert!(matches!(
            read("Bad_OAuth_Token\n"),
            SalesforceError::Refused { code, .. } if code == "Bad_OAuth_Token"
        ));
        for strange in ["", "[]", "<html></html>", r#"{"access_token":"00D!A"}"#, "00D5g00000!AQEAQ"] {
            assert!(matches!(read(strange), SalesforceError::Unreadable { .. }), "{strange}");
        }
    }
}

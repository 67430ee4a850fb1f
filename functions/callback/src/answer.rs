//! Salesforce's answer in the browser's query: approved, declined, or neither.

use domain::secret::{AuthorizationCode, State};
use service::{Request, request::Form};

/// Longer queries are nobody's: Salesforce's are under 2 kB.
const MAX_QUERY: usize = 16 * 1024;

/// Ours are 43 characters.
const MAX_STATE: usize = 128;

/// Salesforce's are about 100 characters.
const MAX_CODE: usize = 4 * 1024;

/// An answer that names an attempt.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Which attempt.
    pub(crate) state: State,
    /// What Salesforce decided.
    pub(crate) outcome: Outcome,
}

/// What Salesforce decided (RFC 6749 §4.1.2).
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It gave a code.
    Approved(AuthorizationCode),
    /// It gave an error.
    Declined {
        /// `error`.
        code: String,
        /// `error_description`.
        description: Option<String>,
    },
    /// It gave both, neither, or one of them twice: no answer of Salesforce's.
    Unclear(&'static str),
}

impl Answer {
    /// Reads a callback's query. `None`: it names no attempt.
    pub(crate) fn read(request: &Request) -> Option<Self> {
        let form = Form::of_query(request, MAX_QUERY).ok()?;
        let state = form.only("state").filter(|state| !state.is_empty() && state.len() <= MAX_STATE)?;
        Some(Self { state: State::new(state), outcome: Outcome::of(&form) })
    }
}

impl Outcome {
    fn of(form: &Form) -> Self {
        if ["code", "error", "error_description"].iter().any(|name| form.doubled(name)) {
            return Self::Unclear("a parameter was given twice");
        }
        match (form.only("code"), form.only("error")) {
            (Some(code), None) if code.is_empty() || code.len() > MAX_CODE => {
                Self::Unclear("the code cannot be one")
            }
            (Some(code), None) => Self::Approved(AuthorizationCode::new(code)),
            (None, Some(code)) => Self::Declined {
                code: code.to_owned(),
                description: form.only("error_description").map(str::to_owned),
            },
            (Some(_), Some(_)) => Self::Unclear("a code and an error came at once"),
            (None, None) => Self::Unclear("neither a code nor an error came"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::Body;

    fn read(query: &str) -> Option<Answer> {
        Answer::read(
            &http::Request::builder().uri(format!("/oauth/callback?{query}")).body(Body::Empty).unwrap(),
        )
    }

    #[test]
    fn an_answer_is_one_thing_or_nothing() {
        assert!(matches!(read("state=s&code=c").unwrap().outcome, Outcome::Approved(_)));
        assert!(matches!(
            read("state=s&error=access_denied&error_description=end-user+denied+authorization").unwrap().outcome,
            Outcome::Declined { code, description: Some(text) }
                if code == "access_denied" && text == "end-user denied authorization"
        ));
        for unclear in ["state=s", "state=s&code=c&error=e", "state=s&code=c&code=d", "state=s&code="] {
            assert!(matches!(read(unclear).unwrap().outcome, Outcome::Unclear(_)), "{unclear}");
        }
    }

    #[test]
    fn without_one_state_it_is_nobodys() {
        for nobodys in ["code=c", "state=&code=c", "state=a&state=b&code=c", "state=%ff&code=c"] {
            assert!(read(nobodys).is_none(), "{nobodys}");
        }
        assert!(read(&format!("state=s&code={}", "c".repeat(60_000))).is_none());
    }
}

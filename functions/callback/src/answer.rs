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
    /// Who says so (RFC 9207), if the answer tells.
    pub(crate) issuer: Option<String>,
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
        let issuer = form.only("iss").filter(|issuer| !issuer.is_empty()).map(str::to_owned);
        Some(Self { state: State::new(state), issuer, outcome: Outcome::of(&form) })
    }
}

impl Outcome {
    fn of(form: &Form) -> Self {
        if ["code", "error", "error_description", "iss"].iter().any(|name| form.doubled(name)) {
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
#[path = "../../../tests/fuzz/held/callback.rs"]
mod held;

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::Body;
    use proptest::prelude::*;
    use url::form_urlencoded::Serializer;

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
        for unclear in [
            "state=s",
            "state=s&code=c&error=e",
            "state=s&code=c&code=d",
            "state=s&code=",
            "state=s&code=c&iss=a&iss=a",
        ] {
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

    #[test]
    fn the_fuzzers_kept_corpus_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/callback");
        let mut tried = 0;
        for entry in std::fs::read_dir(folder).expect("the kept corpus") {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            held::holds(&std::fs::read(path).expect("a small file"));
            tried += 1;
        }
        assert!(tried >= 25, "only {tried} files");
    }

    /// Parameters of a callback and near misses of them; values empty, usual, and about as long as the limits.
    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        let name = prop_oneof![
            8 => prop::sample::select(vec!["state", "code", "error", "error_description"]).prop_map(str::to_owned),
            1 => "[ scode]{0,5}",
        ];
        let value = prop_oneof![
            8 => "[a-zA-Z0-9+/=._ &%#-]{0,40}",
            4 => "\\PC{0,20}",
            1 => (MAX_STATE - 1..=MAX_STATE + 1).prop_map(|length| "s".repeat(length)),
            1 => (MAX_CODE - 1..=MAX_CODE + 1).prop_map(|length| "c".repeat(length)),
        ];
        prop::collection::vec((name, value), 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_list_of_pairs_is_read_for_what_it_is(pairs in pairs()) {
            let query = Serializer::new(String::new()).extend_pairs(&pairs).finish();
            held::holds(query.as_bytes());

            let given = |name| pairs.iter().filter(|(key, _)| key == name).count();
            let answer = read(&query);
            prop_assert!(answer.is_none() || given("state") == 1);
            let approved = matches!(answer, Some(Answer { outcome: Outcome::Approved(_), .. }));
            prop_assert!(!approved || (given("code"), given("error")) == (1, 0));
        }

        #[test]
        fn any_query_at_all_is_read_for_what_it_is(query in "((state|code|error|)(=|%3D|)[^#]{0,20}&?){0,6}") {
            held::holds(query.as_bytes());
        }

        #[test]
        fn any_bytes_at_all_are_read_for_what_they_are(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            held::holds(&bytes);
        }

        #[test]
        fn a_state_that_is_not_utf8_is_nobodys(byte in 0x80..=0xFF_u8, rest in "[a-z]{0,9}") {
            let query = format!("code=c&state=a%{byte:02X}{rest}");
            prop_assert!(read(&query).is_none());
        }

        #[test]
        fn nothing_longer_than_the_limits_comes_through(
            state in 1..2 * MAX_STATE, code in 1..2 * MAX_CODE, other in 0..2 * MAX_QUERY,
        ) {
            let text = |length| "x".repeat(length);
            let query = format!("state={}&code={}&other={}", text(state), text(code), text(other));
            match read(&query) {
                None => prop_assert!(state > MAX_STATE || query.len() > MAX_QUERY),
                Some(answer) => {
                    prop_assert!(state <= MAX_STATE && query.len() <= MAX_QUERY);
                    let approved = matches!(answer.outcome, Outcome::Approved(_));
                    prop_assert_eq!(approved, code <= MAX_CODE);
                }
            }
        }
    }
}

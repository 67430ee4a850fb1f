//! Salesforce's answer in the browser's query: approved, declined, or neither.
//!
//! Each parameter is read for itself, so that nothing else in the query can hide an error that Salesforce reported for
//! a known attempt: no undecodable byte, no length, no doubled or foreign parameter. Only an approval is strict: one
//! state, one code, no error.

use domain::secret::{AuthorizationCode, State};
use web::{Request, browser_binding::AttemptCookie, request::parameters};

/// Maximum bytes of a state. Ours have 43.
const MAX_STATE: usize = 128;

/// Maximum bytes of a code. Salesforce's have about 100.
const MAX_CODE: usize = 4 * 1024;

/// An answer that names an attempt.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Which attempt.
    pub(crate) state: State,
    /// Who says so (RFC 9207).
    pub(crate) issuer: Issuer,
    /// What Salesforce decided.
    pub(crate) outcome: Outcome,
}

/// Who an answer says that it is from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    Absent,
    Named(String),
    /// It was given more than once.
    Repeated,
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
    /// It gave no error, and no code that can be trusted.
    Unclear(&'static str),
}

impl Answer {
    /// Reads a callback's query. `None`: it names no attempt.
    pub(crate) fn read(request: &Request) -> Option<Self> {
        let given = Given::of(request.uri().query().unwrap_or_default());
        let is_bound = |state: &&String| {
            let attempt = State::new(state.as_str()).attempt();
            AttemptCookie::of(request, &attempt).is_some()
        };
        let state = match &given.states[..] {
            [state] => state,
            // Whose attempt it is, the browser's cookie decides.
            several => several.iter().find(is_bound).or_else(|| several.first())?,
        };
        let state = State::new(state.as_str());
        let issuer = match &given.issuers[..] {
            [] => Issuer::Absent,
            [issuer] => Issuer::Named(issuer.clone()),
            _ => Issuer::Repeated,
        };
        Some(Self { state, issuer, outcome: given.outcome() })
    }
}

/// The parameters of a callback, apart from everything else in its query. Equal values count once, those of a code
/// excepted, and an empty value counts as absent (RFC 6749 §3.1).
#[derive(Debug, Default)]
struct Given {
    /// The states that can be ours.
    states: Vec<String>,
    /// The codes, as far as they are text.
    codes: Vec<String>,
    /// Whether something else was given as a code or a state: it is not repaired.
    spoiled: bool,
    errors: Vec<String>,
    descriptions: Vec<String>,
    /// The issuers (RFC 9207).
    issuers: Vec<String>,
}

impl Given {
    fn of(query: &str) -> Self {
        let mut given = Self::default();
        for (name, value) in parameters(query) {
            // The parser puts U+FFFD where the bytes were no UTF-8. Texts for people are kept with it.
            let is_text = !value.contains('\u{FFFD}');
            let values = match &*name {
                "state" if is_text && value.len() <= MAX_STATE => &mut given.states,
                "code" if is_text && value.len() <= MAX_CODE => &mut given.codes,
                "state" | "code" => {
                    given.spoiled = true;
                    continue;
                }
                "error" => &mut given.errors,
                "error_description" => &mut given.descriptions,
                "iss" => &mut given.issuers,
                _ => continue,
            };
            // The second value already makes the answer unclear; a flood of them is not kept.
            let is_new = matches!(&*name, "code" | "iss") || !values.iter().any(|known| *known == *value);
            if !value.is_empty() && values.len() < MAX_VALUES && is_new {
                values.push(value.into_owned());
            }
        }
        given
    }

    fn outcome(mut self) -> Outcome {
        if !self.errors.is_empty() {
            let description = (!self.descriptions.is_empty()).then(|| self.descriptions.swap_remove(0));
            return Outcome::Declined { code: self.errors.swap_remove(0), description };
        }
        if self.spoiled {
            return Outcome::Unclear("the state or the code cannot be one");
        }
        match (self.states.len(), self.codes.len()) {
            (1, 1) => Outcome::Approved(AuthorizationCode::new(self.codes.swap_remove(0))),
            (1, 0) => Outcome::Unclear("neither a code nor an error came"),
            _ => Outcome::Unclear("the state or the code was given twice"),
        }
    }
}

/// Maximum different values that are kept of one parameter.
const MAX_VALUES: usize = 8;

#[cfg(test)]
#[path = "../../../tests/fuzz/held/callback.rs"]
mod held;

#[cfg(test)]
mod tests {
    use super::*;
    use domain::secret::{BrowserSecret, ConnectKey};
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
        assert!(matches!(read("state=s&code=c&error=").unwrap().outcome, Outcome::Approved(_)));
        assert!(matches!(
            read("state=s&error=access_denied&error_description=end-user+denied+authorization").unwrap().outcome,
            Outcome::Declined { code, description: Some(text) }
                if code == "access_denied" && text == "end-user denied authorization"
        ));
        let code = "c".repeat(60_000);
        for unclear in [
            "state=s",
            "state=s&code=c&code=d",
            "state=s&state=t&code=c",
            "state=s&state=%ff&code=c",
            "state=s&code=",
            "state=s&code=c&code=%ff",
            &format!("state=s&code={code}"),
        ] {
            assert!(matches!(read(unclear).unwrap().outcome, Outcome::Unclear(_)), "{unclear}");
        }
    }

    #[test]
    fn issuer_is_named_once_or_not_at_all() {
        for (query, issuer) in [
            ("code=c", Issuer::Absent),
            ("code=c&iss=", Issuer::Absent),
            ("code=c&iss=a", Issuer::Named("a".to_owned())),
            ("code=c&iss=a&iss=a", Issuer::Repeated),
            ("error=e&iss=a&iss=b", Issuer::Repeated),
        ] {
            assert_eq!(read(&format!("state=s&{query}")).unwrap().issuer, issuer, "{query}");
        }
    }

    #[test]
    fn nothing_else_hides_an_error() {
        let long = "x".repeat(60_000);
        for around in [
            "extra=%E9",
            "%E9",
            "error_description=utilisateur%20refus%E9",
            "error_description=a&error_description=b",
            "error=OAUTH_APP_BLOCKED",
            "error=something_else",
            "error=",
            "code=c",
            "code=%ff&code=c",
            "state=s",
            "state=%ff",
            "state=",
            &format!("extra={long}"),
            &format!("code={long}"),
            &format!("error_description={long}"),
            &format!("state={long}"),
            &"code=1&".repeat(3000),
        ] {
            let query = format!("error=OAUTH_APP_BLOCKED&state=s&{around}");
            let answer = read(&query).unwrap_or_else(|| panic!("{around:.40}"));
            assert_eq!(answer.state.expose(), "s");
            let Outcome::Declined { code, .. } = answer.outcome else { panic!("{around:.40}") };
            assert_eq!(code, "OAUTH_APP_BLOCKED", "{around:.40}");
            if !around.contains("state=s") {
                assert_eq!(
                    read(&format!("{around}&state=s&error=e")).unwrap().state.expose(),
                    "s",
                    "{around:.40}"
                );
            }
        }
    }

    #[test]
    fn of_two_states_the_browsers_own_counts() {
        let kept = AttemptCookie { secret: BrowserSecret::mint(), key: ConnectKey::mint() };
        let mut response = web::respond::redirect("/");
        kept.keep(&mut response, &State::new("mine").attempt(), 60);
        let set = response.headers()["set-cookie"].to_str().unwrap();
        let request = http::Request::builder()
            .uri("/oauth/callback?error=e&state=other&state=mine")
            .header("cookie", set.split(';').next().unwrap())
            .body(Body::Empty)
            .unwrap();
        assert_eq!(Answer::read(&request).unwrap().state.expose(), "mine");
    }

    #[test]
    fn without_a_state_it_is_nobodys() {
        for nobodys in
            ["code=c", "state=&code=c", "state=%ff&code=c", &format!("state={}&code=c", "s".repeat(129))]
        {
            assert!(read(nobodys).is_none(), "{nobodys}");
        }
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

            let given = |name| {
                let values = pairs.iter().filter(|(key, value)| key == name && !value.is_empty());
                values.map(|(_, value)| value).collect::<std::collections::BTreeSet<_>>().len()
            };
            let answer = read(&query);
            prop_assert!(answer.is_none() || given("state") >= 1);
            let approved = matches!(answer, Some(Answer { outcome: Outcome::Approved(_), .. }));
            prop_assert!(!approved || (given("state"), given("code"), given("error")) == (1, 1, 0));
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
            state in 1..2 * MAX_STATE, code in 1..2 * MAX_CODE, other in 0..40_000_usize,
        ) {
            let text = |length| "x".repeat(length);
            let query = format!("state={}&code={}&other={}", text(state), text(code), text(other));
            match read(&query) {
                None => prop_assert!(state > MAX_STATE),
                Some(answer) => {
                    prop_assert!(state <= MAX_STATE);
                    let approved = matches!(answer.outcome, Outcome::Approved(_));
                    prop_assert_eq!(approved, code <= MAX_CODE);
                }
            }
        }
    }
}

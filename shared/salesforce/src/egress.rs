//! From which address Salesforce is called, seen from outside: what an app's allowlist there has to have.
//!
//! Only what stands where the callers stand can tell. So the operator's command asks a function ([`Question`]), and the
//! function asks an echo: a host that answers with the address that a request came from. Nothing of ours goes there.

use std::net::IpAddr;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tracing::info;
use url::Url;

use crate::{Http, hosts::NotOnThisMachine};

/// AWS's own: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc-internet.html>.
const ECHO: &str = "https://checkip.amazonaws.com/";

/// The longest address (RFC 4291 §2.2, with an IPv4 address at its end), and the end of its line.
const MAX_ANSWER: usize = 45 + 2;

/// What is asked of the function: `{"observe":"egress"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "observe", rename_all = "snake_case")]
pub enum Question {
    /// From which address it is seen.
    Egress,
}

/// What the function answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// This is where it is seen.
    Address(IpAddr),
    /// Why that is not known.
    Unseen(String),
}

/// Asks the echo.
#[derive(Debug, Clone)]
pub struct Egress {
    http: Http,
    echo: String,
}

impl Egress {
    /// As deployed: AWS's echo and no other, no switch for it.
    pub fn deployed() -> Self {
        Self { http: Http::new(), echo: ECHO.into() }
    }

    /// An echo on this machine, for tests.
    pub fn on_this_machine(echo: &Url) -> Result<Self, NotOnThisMachine> {
        NotOnThisMachine::check(echo)?;
        Ok(Self { http: Http::on_this_machine(), echo: echo.to_string() })
    }

    /// Where this process is seen, now.
    pub async fn observe(&self) -> Seen {
        let seen = match self.ask().await {
            Ok(address) => Seen::Address(address),
            Err(why) => Seen::Unseen(format!("{}: {why}", self.echo)),
        };
        info!(?seen, "egress");
        seen
    }

    async fn ask(&self) -> Result<IpAddr, String> {
        let request = http::Request::get(&self.echo).body(Vec::new()).map_err(|error| error.to_string())?;
        let answer = self.http.send(request).await.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answered {}", answer.status().as_u16()));
        }
        address(answer.body()).ok_or_else(|| "it answered something other than an address".into())
    }
}

/// An address on a line of its own, and nothing else.
fn address(answer: &[u8]) -> Option<IpAddr> {
    let line = std::str::from_utf8(answer).ok().filter(|answer| answer.len() <= MAX_ANSWER)?;
    line.strip_suffix('\n').unwrap_or(line).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_address_or_nothing() {
        for (answer, address) in [
            ("203.0.113.7\n", "203.0.113.7"),
            ("203.0.113.7", "203.0.113.7"),
            ("2001:db8::7\n", "2001:db8::7"),
        ] {
            assert_eq!(super::address(answer.as_bytes()), Some(address.parse().unwrap()), "{answer:?}");
        }
        let long = format!("203.0.113.7{}", "\n".repeat(100));
        for answer in [
            "",
            "\n",
            "203.0.113.7\n\n",
            " 203.0.113.7",
            "203.0.113.7, 10.0.0.1",
            "203.0.113",
            "<html>",
            &long,
        ] {
            assert_eq!(super::address(answer.as_bytes()), None, "{answer:?}");
        }
        assert_eq!(super::address(&[0xff]), None);
    }

    #[test]
    fn the_question_is_what_no_schedule_asks() {
        let question = serde_json::json!({ "observe": "egress" });
        assert_eq!(serde_json::to_value(Question::Egress).unwrap(), question);
        assert!(
            serde_json::from_value::<Question>(serde_json::json!({ "source": "aws.scheduler" })).is_err()
        );
    }

    #[test]
    fn no_echo_elsewhere_is_let_in() {
        for elsewhere in ["https://echo.example/", "http://localhost.example/", "http://192.0.2.1/"] {
            assert!(Egress::on_this_machine(&elsewhere.parse().unwrap()).is_err(), "{elsewhere}");
        }
        assert!(Egress::on_this_machine(&"http://127.0.0.1:4000/".parse().unwrap()).is_ok());
    }
}

//! What was answered, kept so that a journey can look for secrets in it.

use std::sync::{Arc, Mutex};

/// An answer of one of our functions.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The route.
    pub asked: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// So many answers are kept: a stack that runs for days must not fill the memory.
const MOST: usize = 20_000;

/// The answers, in order. Clones are the same tape.
#[derive(Debug, Clone, Default)]
pub struct Tape(Arc<Mutex<Vec<Answered>>>);

impl Tape {
    /// Keeps an answer.
    pub fn keep(&self, asked: String, head: &http::response::Parts, body: &[u8]) {
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = head.headers.iter().map(header).collect();
        let mut kept = self.0.lock().expect("no panic while holding the tape");
        if kept.len() >= MOST {
            kept.drain(..MOST / 2);
        }
        kept.push(Answered { asked, headers, body: String::from_utf8_lossy(body).into_owned() });
    }

    /// All of them.
    pub fn all(&self) -> Vec<Answered> {
        self.0.lock().expect("no panic while holding the tape").clone()
    }
}

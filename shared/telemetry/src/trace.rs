//! Trace context (W3C Trace Context, Level 1): read strictly, for whoever calls writes it.

use std::fmt;

use sha2::{Digest, Sha256};

/// A trace's id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

/// A span's id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

/// Of which trace a request is a part, as its caller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The caller's span.
    pub parent: SpanId,
    /// Whether the caller records it.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`. A later version is read as far as this one goes; anything else is as if it were not there.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let version: [u8; 1] = unhex(parts.next()?)?;
        let (trace, parent, [flags]) = (unhex(parts.next()?)?, unhex(parts.next()?)?, unhex(parts.next()?)?);
        let whole = version != [0xff] && (version != [0] || parts.next().is_none());
        (whole && trace != [0; 16] && parent != [0; 8]).then_some(Self {
            trace: TraceId(trace),
            parent: SpanId(parent),
            sampled: flags & 1 == 1,
        })
    }
}

impl TraceId {
    /// A new trace's.
    pub fn random() -> Self {
        Self(random())
    }

    /// The trace of all that happens in a connect session: each request of it, by whomever, finds the same.
    pub fn of_session(session: &str) -> Self {
        let digest = Sha256::digest(format!("trace of {session}"));
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }
}

impl SpanId {
    /// A new span's.
    pub fn random() -> Self {
        Self(random())
    }
}

/// The header that tells a caller which span answered it.
pub fn traceresponse(trace: TraceId, span: SpanId, sampled: bool) -> String {
    format!("00-{trace}-{span}-{:02x}", u8::from(sampled))
}

fn random<const N: usize>() -> [u8; N] {
    let mut id = [0; N];
    // Without the system's randomness no key can be made either, and that is told there; an id may then be 1.
    if getrandom::fill(&mut id).is_err() || id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

/// Lower-case hex of exactly so many bytes.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes();
    let mut read = [0; N];
    if bytes.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in read.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(read)
}

macro_rules! hex {
    ($($id:ty),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

hex!(TraceId, SpanId);

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_good_one_is_read_and_told_again() {
        let context = TraceContext::parse(GOOD).expect("the standard's own example");
        assert!(context.sampled);
        assert_eq!(traceresponse(context.trace, context.parent, true), GOOD);
        assert!(!TraceContext::parse(&GOOD.replace("-01", "-00")).expect("not sampled").sampled);
        assert!(TraceContext::parse(&GOOD.replacen("00", "01", 1)).is_some(), "a later version");
        assert!(TraceContext::parse(&format!("{}-more", GOOD.replacen("00", "cc", 1))).is_some());
    }

    #[test]
    fn anything_else_is_as_if_it_were_not_there() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_session_has_one_trace() {
        assert_eq!(TraceId::of_session("cs_1"), TraceId::of_session("cs_1"));
        assert_ne!(TraceId::of_session("cs_1"), TraceId::of_session("cs_2"));
        assert_ne!(TraceId::random(), TraceId::random());
    }
}

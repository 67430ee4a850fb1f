//! Requests that no browser would send: any bytes in the path, doubled headers, a broken body.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

/// An HTTP/1.1 request byte for byte. Nothing is added but `Connection: close` and a body's length.
pub struct RawRequest {
    head: Vec<u8>,
    body: Vec<u8>,
}

/// What came back; a status of 0 where the connection closed without a word.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    pub body: String,
}

impl RawRequest {
    /// `target` is the path and query as they stand in the request line, UTF-8 or not.
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        let head = [method.as_bytes(), b" ", target.as_ref(), b" HTTP/1.1\r\n"].concat();
        Self { head, body: Vec::new() }
    }

    /// Adds a header, `Host` included; the same one may be added again.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend([name.as_bytes(), b": ", value.as_ref(), b"\r\n"].concat());
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it to the port of `url`, whose host and path are not looked at, on this machine.
    pub async fn send(self, url: &str) -> RawAnswer {
        let port = Url::parse(url).ok().and_then(|url| url.port_or_known_default());
        let port = port.unwrap_or_else(|| panic!("{url:?} has no port to send to"));
        let mut stream =
            TcpStream::connect(("127.0.0.1", port)).await.expect("something listens at the port");
        let mut end = String::from("Connection: close\r\n");
        if !self.body.is_empty() {
            let _ = write!(end, "Content-Length: {}\r\n", self.body.len());
        }
        let bytes = [&self.head, end.as_bytes(), b"\r\n", &self.body].concat();
        let mut answer = Vec::new();
        // A server may refuse and close before it has read everything; what it said is the answer.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.read_to_end(&mut answer).await;
        RawAnswer::read(&answer)
    }
}

impl RawAnswer {
    fn read(answer: &[u8]) -> Self {
        let split = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
        let head = String::from_utf8_lossy(&answer[..split]).into_owned();
        let rest = answer.get(split + 4..).unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let mut answer = Self { status, head, body: String::new() };
        let chunked = answer.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        answer.body =
            String::from_utf8_lossy(&if chunked { joined(rest) } else { rest.to_vec() }).into_owned();
        answer
    }

    /// The value of a header, the first if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A chunked body put together, as far as it came.
fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size =
            std::str::from_utf8(&rest[..line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(chunk) = size.filter(|size| *size > 0).and_then(|size| rest.get(line + 2..line + 2 + size))
        else {
            break;
        };
        body.extend_from_slice(chunk);
        rest = rest.get(line + 2 + chunk.len() + 2..).unwrap_or_default();
    }
    body
}

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::address_guard::{Addresses, Lookup};

fn signature() -> [(&'static str, String); 3] {
    ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| (name, "x".to_owned()))
}

/// Answers every connection with this text, and counts the connections.
async fn server(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    server_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer).await
}

async fn server_at(at: SocketAddr, answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(at).await.expect("a port");
    let (at, count) = (listener.local_addr().expect("bound"), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
        }
    });
    (at, count)
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let (elsewhere, visits) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    let (at, _) = server(answer.leak().as_bytes()).await;
    let client = EndpointClient::new(AddressGuard::this_machine());
    let url = Url::parse(&format!("http://{at}/hook")).expect("a URL");
    assert_eq!(client.post(&url, signature(), b"{}".to_vec()).await.expect("an answer").status, 302);
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn answer_is_read_to_its_limit_only() {
    let mut answer = b"HTTP/1.1 500 No\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    answer.resize(answer.len() + 200_000, b'x');
    let (at, _) = server(answer.leak()).await;
    let client = EndpointClient::new(AddressGuard::this_machine());
    let url = Url::parse(&format!("http://{at}/hook")).expect("a URL");
    let answer = client.post(&url, signature(), b"{}".to_vec()).await.expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (500, MAX_ANSWER));
}

/// A name that points at this machine.
struct PointsHere(AtomicUsize);

impl Lookup for PointsHere {
    fn addresses(&self, _: String) -> Addresses {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(vec![IpAddr::from([127, 0, 0, 1])]))
    }
}

#[tokio::test]
async fn deployed_client_connects_to_no_address_of_this_machine() {
    let (at, visits) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let lookup = Arc::new(PointsHere(AtomicUsize::new(0)));
    let guard = AddressGuard::public_through(Arc::<PointsHere>::clone(&lookup), None);
    let client = EndpointClient::new(guard);
    let literal = Url::parse(&format!("https://127.0.0.1:{}/hook", at.port())).expect("a URL");
    let named = Url::parse("https://hooks.example/hook").expect("a URL");
    for url in [&literal, &named, &named] {
        let error = client.post(url, signature(), b"{}".to_vec()).await.expect_err("refused");
        assert!(error.what.contains("not public") || error.what.contains("port"), "{}", error.what);
        assert!(!error.what.contains("hooks") && !error.what.contains("127."), "{}", error.what);
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
    assert_eq!(lookup.0.load(Ordering::SeqCst), 2, "each connection is looked up once, by the guard");
}

/// Answers the first lookup with one address of this machine, and later ones with another.
struct Rebinds(AtomicUsize);

impl Lookup for Rebinds {
    fn addresses(&self, _: String) -> Addresses {
        let last = if self.0.fetch_add(1, Ordering::SeqCst) == 0 { 1 } else { 2 };
        Box::pin(std::future::ready(vec![IpAddr::from([127, 0, 0, last])]))
    }
}

#[tokio::test]
async fn connection_goes_to_the_address_that_was_checked() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (at, checked) = server(ANSWER).await;
    let (_, other) = server_at(SocketAddr::from(([127, 0, 0, 2], at.port())), ANSWER).await;
    let lookup = Arc::new(Rebinds(AtomicUsize::new(0)));
    let guard = AddressGuard::this_machine_through(Arc::<Rebinds>::clone(&lookup));
    let client = EndpointClient::new(guard);
    let url = Url::parse(&format!("http://hooks.example:{}/hook", at.port())).expect("a URL");
    for (connection, visits) in [(1, (1, 0)), (2, (1, 1))] {
        client.post(&url, signature(), b"{}".to_vec()).await.expect("an answer");
        assert_eq!((checked.load(Ordering::SeqCst), other.load(Ordering::SeqCst)), visits);
        assert_eq!(lookup.0.load(Ordering::SeqCst), connection, "one lookup for each connection");
    }
}

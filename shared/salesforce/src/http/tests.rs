use std::{
    io::Read as _,
    net::{SocketAddr, TcpListener},
    thread::JoinHandle,
};

use super::*;

/// TLS 1.2 and TLS 1.3, as the wire has them.
const TLS_1_2_OR_LATER: [u16; 2] = [0x0303, 0x0304];

fn get(url: &str) -> http::Request<Vec<u8>> {
    http::Request::get(url).body(Vec::new()).expect("a request")
}

/// Reads the first record of one connection, and closes it.
fn first_record() -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("bound");
    let reading = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut record = vec![0; 5];
        stream.read_exact(&mut record).expect("a record's header");
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        record.resize(5 + length, 0);
        stream.read_exact(&mut record[5..]).expect("the record");
        record
    });
    (at, reading)
}

/// The versions in the `supported_versions` extension of a ClientHello (RFC 8446 §4.1.2, §4.2.1).
fn offered_versions(hello: &[u8]) -> Vec<u16> {
    let number = |at: usize| u16::from_be_bytes([hello[at], hello[at + 1]]);
    // The headers of record and handshake, the legacy version, the random; then session id, ciphers, compression.
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(hello[at]);
    at += 2 + usize::from(number(at));
    at += 1 + usize::from(hello[at]);
    at += 2;
    while at + 4 <= hello.len() {
        let length = usize::from(number(at + 2));
        if number(at) == 43 {
            return (at + 5..at + 4 + length).step_by(2).map(number).collect();
        }
        at += 4 + length;
    }
    panic!("the extension is missing")
}

#[tokio::test]
async fn tls_1_2_or_later_alone_is_offered() {
    let (at, reading) = first_record();

    Http::new().send(get(&format!("https://{at}/"))).await.expect_err("it closes the connection");

    let hello = reading.join().expect("the server has read it");
    assert_eq!(hello[0], 22, "a handshake");
    let versions = offered_versions(&hello);
    assert!(
        !versions.is_empty() && versions.iter().all(|one| TLS_1_2_OR_LATER.contains(one)),
        "{versions:x?}"
    );
}

#[tokio::test]
async fn deployed_client_sends_nothing_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("the system allows it");
    let plain = format!("http://{}/services/oauth2/token", listener.local_addr().expect("bound"));

    for client in [Http::new(), Http::of_operator()] {
        let refused = client.send(get(&plain)).await.expect_err("refused");
        assert!(!refused.sent, "{}", refused.what);
        assert!(listener.accept().is_err(), "no connection was made");
    }

    // A client that may speak plain HTTP connects: the test would see a connection.
    let allowed = Http::to_collector().send_within(get(&plain), Some(Duration::from_millis(500))).await;
    assert!(allowed.is_err() && listener.accept().is_ok(), "it connects, and gets no answer");
}

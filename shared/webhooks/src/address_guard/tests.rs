use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Answers each lookup with the next of its answers, and the last one from then on.
struct Scripted {
    answers: Vec<Vec<&'static str>>,
    asked: AtomicUsize,
}

impl Lookup for Scripted {
    fn addresses(&self, _: String) -> Addresses {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let found = self.answers[asked].iter().map(|address| address.parse().expect("an address")).collect();
        Box::pin(std::future::ready(found))
    }
}

fn guard(answers: &[&[&'static str]]) -> (AddressGuard, Arc<Scripted>) {
    let answers = answers.iter().map(|answer| answer.to_vec()).collect();
    let lookup = Arc::new(Scripted { answers, asked: AtomicUsize::new(0) });
    (AddressGuard::public_through(Arc::<Scripted>::clone(&lookup), None), lookup)
}

fn url(text: &str) -> Url {
    Url::parse(text).expect(text)
}

/// One address of every network that must not be called, and its last one where the border is easy to miss.
const NOT_PUBLIC: [&str; 48] = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:93.184.216.34",
    "64:ff9b::7f00:1",
    "64:ff9b::5db8:d822",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
];

#[test]
fn special_purpose_addresses_are_not_public() {
    for text in NOT_PUBLIC.iter().chain(&["ff02::1", "fec0::1", "4000::1", "fdff::1", "febf::1"]) {
        assert!(!is_public(text.parse().expect(text)), "{text}");
    }
}

#[test]
fn neighbors_of_special_networks_are_public() {
    for text in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2606:2800:220:1::1",
        "2a05:d018::1",
        "2003::1",
    ] {
        assert!(is_public(text.parse().expect(text)), "{text}");
    }
}

#[tokio::test]
async fn one_address_that_is_not_public_refuses_the_host() {
    for bad in NOT_PUBLIC {
        for answers in [vec![bad], vec!["93.184.216.34", bad], vec![bad, "2606:2800:220:1::1"]] {
            let (guard, _) = guard(&[&answers]);
            assert_eq!(guard.resolve("hooks.example").await, Err(GuardError::NotPublic), "{answers:?}");
        }
    }
    let (good, _) = guard(&[&["93.184.216.34", "2606:2800:220:1::1"]]);
    assert_eq!(good.resolve("hooks.example").await.expect("public").len(), 2);
    let (none, _) = guard(&[&[]]);
    assert_eq!(none.resolve("hooks.example").await, Err(GuardError::NoAddress));
}

#[test]
fn address_in_a_url_passes_the_same_check() {
    let (guard, _) = guard(&[&["93.184.216.34"]]);
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "10.0.0.1",
        "127.0.0.1.",
    ] {
        let text = format!("https://{host}/hook");
        assert_eq!(guard.check_url(&url(&text)), Err(GuardError::NotPublic), "{text}");
    }
    assert_eq!(guard.check_url(&url("https://93.184.216.34/hook")), Ok(()));
    assert_eq!(guard.check_url(&url("https://[2606:2800:220:1::1]/hook")), Ok(()));
}

#[test]
fn only_https_on_port_443_is_called() {
    let (guard, _) = guard(&[&["93.184.216.34"]]);
    for (text, refusal) in [
        ("http://hooks.example/", GuardError::NotHttps),
        ("ftp://hooks.example/", GuardError::NotHttps),
        ("https://hooks.example:8443/", GuardError::OtherPort),
        ("https://hooks.example:80/", GuardError::OtherPort),
        ("https://user@hooks.example/", GuardError::HasUser),
        ("https://:secret@hooks.example/", GuardError::HasUser),
    ] {
        assert_eq!(guard.check_url(&url(text)), Err(refusal), "{text}");
    }
    assert_eq!(guard.check_url(&url("https://hooks.example:443/x?y=z")), Ok(()));
}

#[test]
fn own_network_is_refused_even_where_it_is_public() {
    let own = Some(("198.200.0.0".parse().expect("an address"), 16));
    let guard = AddressGuard::public(own);
    assert_eq!(guard.check(&["198.200.3.4".parse().expect("an address")]), Err(GuardError::NotPublic));
    assert_eq!(guard.check(&["198.201.3.4".parse().expect("an address")]), Ok(()));
}

#[test]
fn local_guard_lets_only_this_machine_through() {
    let guard = AddressGuard::this_machine();
    assert_eq!(guard.check_url(&url("http://127.0.0.1:7401/hook")), Ok(()));
    assert_eq!(guard.check_url(&url("http://93.184.216.34/hook")), Err(GuardError::NotPublic));
    assert_eq!(guard.check_url(&url("http://169.254.169.254/")), Err(GuardError::NotPublic));
}

/// The first answer is checked and connected to; a later answer is never asked for by the connection.
#[tokio::test]
async fn rebinding_host_is_looked_up_once_per_connection() {
    let (guard, lookup) = guard(&[&["93.184.216.34"], &["127.0.0.1"]]);
    let checked = guard.resolve("rebind.example").await.expect("public at first");
    assert_eq!(checked, ["93.184.216.34".parse::<IpAddr>().expect("an address")]);
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);
    assert_eq!(guard.resolve("rebind.example").await, Err(GuardError::NotPublic), "the next connection");
}

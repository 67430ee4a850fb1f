use super::*;
use proptest::{prelude::*, strategy::ValueTree as _};

fn local() -> Hosts {
    Hosts::on_this_machine(
        &"http://login.salesforce.localhost:7402".parse().unwrap(),
        &"http://test.salesforce.localhost:7402".parse().unwrap(),
        ".my.salesforce.localhost",
    )
    .unwrap()
}

#[test]
fn what_people_type_becomes_a_login_host() {
    let hosts = Hosts::salesforce();
    for (typed, origin) in [
        ("acme", "https://acme.my.salesforce.com"),
        (" ACME.my.salesforce.com ", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com/", "https://acme.my.salesforce.com"),
        ("https://acme.lightning.force.com/lightning/page/home", "https://acme.my.salesforce.com"),
        ("acme.my.salesforce-setup.com/lightning/setup/SetupOneHome/home", "https://acme.my.salesforce.com"),
        ("acme--uat", "https://acme--uat.sandbox.my.salesforce.com"),
        ("acme--uat.sandbox.lightning.force.com", "https://acme--uat.sandbox.my.salesforce.com"),
        ("acme.develop.my.salesforce.com", "https://acme.develop.my.salesforce.com"),
        ("login.salesforce.com", "https://login.salesforce.com"),
        ("https://test.salesforce.com/?un=x", "https://test.salesforce.com"),
    ] {
        assert_eq!(hosts.my_domain(typed).unwrap().origin(), origin, "{typed}");
    }
    assert_eq!(hosts.my_domain("test.salesforce.com").unwrap().environment(), Environment::Sandbox);
}

#[test]
fn what_is_not_salesforces_is_refused() {
    let hosts = Hosts::salesforce();
    for typed in [
        "evil.com#.my.salesforce.com",
        "evil.com/.my.salesforce.com",
        "evil.com?.my.salesforce.com",
        "evil.com\\.my.salesforce.com",
        "acme.my.salesforce.com@evil.com",
        "evil.com:80@acme.my.salesforce.com",
        "acme.my.salesforce.com.evil.com",
        "acmemy.salesforce.com",
        "my.salesforce.com",
        ".my.salesforce.com",
        "a.b.c.my.salesforce.com",
        "acme.my.salesforce.com:evil",
        "javascript:alert(1)",
        "аcme.my.salesforce.com", // a Cyrillic а
        "127.0.0.1",
        "localhost",
        "acme.my.salesforce.localhost",
        "",
        "   ",
    ] {
        assert!(hosts.my_domain(typed).is_err(), "{typed}");
    }
}

#[test]
fn a_stored_origin_is_checked_again() {
    let hosts = Hosts::salesforce();
    assert!(hosts.readmit("https://login.salesforce.com").is_ok());
    assert!(hosts.readmit("https://acme.my.salesforce.com").is_ok());
    assert!(hosts.readmit("http://acme.my.salesforce.com").is_err());
    assert!(hosts.readmit("https://evil.example").is_err());
    assert!(hosts.readmit("http://login.salesforce.localhost:7402").is_err());
    assert!(local().readmit("http://acme.my.salesforce.localhost:7402").is_ok());
    assert!(local().readmit("https://acme.my.salesforce.com").is_err());
}

#[test]
fn an_instance_url_must_be_salesforces_own() {
    let hosts = Hosts::salesforce();
    assert!(hosts.own("https://acme.my.salesforce.com").is_some());
    assert!(hosts.own("https://na139.salesforce.com").is_some());
    for bad in [
        "http://acme.my.salesforce.com",
        "https://u@acme.my.salesforce.com",
        "https://salesforce.com.evil.com",
    ] {
        assert!(hosts.own(bad).is_none(), "{bad}");
    }
    assert!(local().own("http://acme.my.salesforce.localhost:7402").is_some());
    assert!(local().own("http://acme.my.salesforce.localhost:80").is_none());
}

#[test]
fn a_stand_in_is_on_this_machine_or_nowhere() {
    let (ok, bad): (Url, Url) = ("http://127.0.0.1:9".parse().unwrap(), "https://evil.com".parse().unwrap());
    assert!(Hosts::on_this_machine(&ok, &ok, ".localhost").is_ok());
    assert!(Hosts::on_this_machine(&bad, &ok, ".localhost").is_err());
    assert!(Hosts::on_this_machine(&ok, &ok, ".evil.com").is_err());
}

#[test]
fn copy_artifacts_are_repaired() {
    const ACME: &str = "https://acme.my.salesforce.com";
    const UAT: &str = "https://acme--uat.sandbox.my.salesforce.com";
    let hosts = Hosts::salesforce();
    for (typed, origin) in [
        ("acme.my.salesforce.com.", ACME),
        ("acme.my.salesforce.com,", ACME),
        ("(https://acme.my.salesforce.com)", ACME),
        ("<https://acme.my.salesforce.com/>.", ACME),
        ("\u{201c}acme.my.salesforce.com\u{201d}", ACME),
        ("acme.my.salesforce.com]", ACME),
        ("[Salesforce](https://acme.my.salesforce.com/home)", ACME),
        ("My Domain: acme.my.salesforce.com", ACME),
        ("acme.my.salesforce.com is ours, see https://acme.lightning.force.com", ACME),
        ("https://acme.my.salesforce.com#/sObject/001/view", ACME),
        ("https://acme.my.salesforce.com/#setup", ACME),
        ("https://acme.my.salesforce.com:443/home?x=1#y", ACME),
        ("https://https://acme.my.salesforce.com", ACME),
        ("https%3A%2F%2Facme.my.salesforce.com%2Fhome", ACME),
        ("//acme.my.salesforce.com", ACME),
        ("www.acme.my.salesforce.com", ACME),
        ("\u{feff}ac\u{200b}me.my.sales\u{ad}force.com\u{2069}", ACME),
        ("\u{a0}acme.my.salesforce.com\u{3000}", ACME),
        ("\u{ff41}\u{ff43}\u{ff4d}\u{ff45}\u{ff0e}my\u{3002}salesforce\u{ff61}com", ACME),
        ("acme.my.salesforce", ACME),
        ("acme.my", ACME),
        ("acme--c.vf.force.com/apex/page", ACME),
        ("acme.file.force.com", ACME),
        ("https://acme.my.\r\nsalesforce.com", ACME),
        ("acme--uat.sandbox", UAT),
        ("acme--uat.my.salesforce.com", UAT),
        ("acme--uat.lightning.force.com", UAT),
        ("acme\u{2014}uat.sandbox.my.salesforce.com", UAT),
        ("acme--uat--c.sandbox.vf.force.com", UAT),
        ("acme\u{2011}dev\u{2011}ed.develop", "https://acme-dev-ed.develop.my.salesforce.com"),
        ("x.trailblaze.lightning.force.com", "https://x.trailblaze.my.salesforce.com"),
        ("login.salesforce.com.", "https://login.salesforce.com"),
        ("acme.my.salesforce.com\u{2013}", ACME),
        ("acme.my.salesforce.com-", ACME),
        ("acme.my.salesforce.com%20", ACME),
        ("https://acme.my.salesforce.com/home%E2%80%8B", ACME),
        ("acme.my.salesforce.com%0D%0A.", ACME),
        ("acme.my.salesforce.com\\", ACME),
        ("&quot;https://acme.my.salesforce.com&quot;", ACME),
        ("&lt;acme.my.salesforce.com&gt;", ACME),
        ("acme.my.salesforce.com&nbsp;", ACME),
        ("https: //acme.my.salesforce.com", ACME),
        ("https:acme.my.salesforce.com", ACME),
        ("https;//acme.my.salesforce.com", ACME),
        ("Current My Domain URL\tacme.my.salesforce.com", ACME),
        ("My Domain acme.my.salesforce.com", ACME),
        ("The My Domain is acme.my.salesforce.com", ACME),
        ("My Domain Name = acme.my.salesforce.com", ACME),
        ("**My Domain**: acme.my.salesforce.com", ACME),
        ("Acme,acme.my.salesforce.com", ACME),
        ("Acme (EU) acme.my.salesforce.com", ACME),
        ("acme corp.my.salesforce.com, https://corp.my.salesforce.com", "https://corp.my.salesforce.com"),
        ("acme--uat.cs42.my.salesforce.com", UAT),
        ("https://acme--uat.usa240s.my.salesforce.com/home", UAT),
    ] {
        assert_eq!(
            hosts.my_domain(typed).map(|host| host.origin().to_owned()),
            Ok(origin.to_owned()),
            "{typed}"
        );
    }
}

#[test]
fn refusals_say_what_was_typed() {
    let hosts = Hosts::salesforce();
    for (typed, why) in [
        ("00D50000000IZ3Z", HostRefused::OrgId),
        ("00D50000000IZ3ZEAW.", HostRefused::OrgId),
        ("uma@acme.example", HostRefused::Username),
        ("acme.my.salesforce.com, other.my.salesforce.com", HostRefused::Several),
        ("acme corp.my.salesforce.com", HostRefused::Several),
        ("https://ac\nme.my.salesforce.com", HostRefused::Several),
        ("ttps -:", HostRefused::NotSalesforce),
        ("acme : ", HostRefused::NotSalesforce),
        ("xn--acme", HostRefused::NotAHost),
        ("https://xn--acme.my.salesforce.com", HostRefused::NotAHost),
        ("acme.xn--a.my.salesforce.com", HostRefused::NotAHost),
        ("m\u{fc}nchen", HostRefused::NotAHost),
        ("\u{200b}", HostRefused::Empty),
        ("<>", HostRefused::Empty),
        ("na139.salesforce.com", HostRefused::NotSalesforce),
        ("acme.my.site.com", HostRefused::NotSalesforce),
        ("Org ID: 00D50000000IZ3Z", HostRefused::OrgId),
        ("Org ID:00D50000000IZ3ZEAW", HostRefused::OrgId),
        ("Organization ID 00D50000000IZ3Z", HostRefused::OrgId),
        ("Salesforce.com Organization ID\t00D50000000IZ3Z", HostRefused::OrgId),
        ("(org_id=00D50000000IZ3Z)", HostRefused::OrgId),
        ("o'neil.my.salesforce.com", HostRefused::Several),
        ("acme \u{2013} uat.my.salesforce.com", HostRefused::Several),
        ("acme - corp.my.salesforce.com", HostRefused::Several),
        ("acme http.my.salesforce.com", HostRefused::Several),
        ("big acme.my.salesforce.com; corp.my.salesforce.com", HostRefused::Several),
        ("acme&corp.my.salesforce.com", HostRefused::NotAHost),
    ] {
        assert_eq!(hosts.my_domain(typed).err(), Some(why), "{typed}");
    }
}

/// Damaged schemes, labels and half addresses: none of them names an org.
const NAMELESS: [&str; 23] = [
    "ttps://acme.my.salesforce.com",
    "htps://acme.my.salesforce.com",
    "https//acme.my.salesforce.com",
    "https.//acme.my.salesforce.com",
    "https:/acme.my.salesforce.com",
    "http://https//acme.my.salesforce.com",
    "s://acme.my.salesforce.com",
    "hxxps://acme.my.salesforce.com",
    "ftp://acme.my.salesforce.com",
    "salesforce1://acme.my.salesforce.com",
    "acme/other.my.salesforce.com",
    "acme.my/other.my.salesforce.com",
    "acme--uat.sandbox/other.my.salesforce.com",
    "acme?other.my.salesforce.com",
    "acme#other.my.salesforce.com",
    "acme:443/other.my.salesforce.com",
    "acme.my.salesforce.comhttps://other.my.salesforce.com",
    "acme:",
    "https",
    "http:",
    "https://",
    "acme--",
    "acme%20",
];

#[test]
fn damaged_scheme_names_no_org() {
    let hosts = Hosts::salesforce();
    for typed in NAMELESS {
        assert!(hosts.my_domain(typed).is_err(), "{typed}: {:?}", hosts.my_domain(typed));
    }
}

#[test]
fn unknown_second_label_or_record_id_is_rejected() {
    let hosts = Hosts::salesforce();
    for typed in [
        "acme.sandbox",
        "acme.sandbox.my.salesforce.com",
        "acme.other.my.salesforce.com",
        "acme.cs42.my.salesforce.com",
        "acme--uat.cs.my.salesforce.com",
        "00550000000abcd",
        "00550000000abcdEAA",
        "a0B5000000abcd1",
    ] {
        assert_eq!(hosts.my_domain(typed).err(), Some(HostRefused::NotSalesforce), "{typed}");
    }
    for name in ["acme-scratch.scratch", "acme--c.develop", "x.trailblaze", "goodcompanies00", "0acme"] {
        assert!(hosts.my_domain(name).is_ok(), "{name}");
    }
    let stored = "https://acme.other.my.salesforce.com";
    assert!(hosts.readmit(stored).is_ok(), "a stored host keeps working");
}

#[test]
fn a_stored_host_is_not_repaired() {
    let hosts = Hosts::salesforce();
    let old = "https://acme--uat.my.salesforce.com";
    assert_eq!(hosts.readmit(old).unwrap().origin(), old);
    for bad in ["https://acme.my.salesforce.com/", "https://acme.my.salesforce.com.", "acme", "https://xn--a"]
    {
        assert!(hosts.readmit(bad).is_err(), "{bad}");
    }
}

/// Texts in the shape of a host: labels, endings and what copying leaves around them.
fn host_shaped() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        6 => "[a-z0-9]{1,12}",
        2 => "[a-zA-Z0-9-]{1,70}",
        1 => "xn--[a-z0-9-]{0,12}",
        1 => "(acme|0x7f|127|1e9|login|test|localhost|www|my)",
        1 => "\\PC{1,4}",
    ];
    let name = prop_oneof![
        3 => label.clone(),
        1 => (label.clone(), label.clone()).prop_map(|(a, b)| format!("{a}--{b}")),
        1 => (label.clone(), label).prop_map(|(a, b)| format!("{a}.{b}")),
    ];
    let ending = prop::sample::select(vec![
        "",
        ".my.salesforce.com",
        ".my.salesforce.com",
        ".my.salesforce.mil",
        ".my.sfcrmproducts.cn",
        ".my",
        ".lightning.force.com",
        ".sandbox",
        ".sandbox.my.salesforce.com",
        ".vf.force.com",
        ".evil.example",
    ]);
    let around = |some: &'static [&'static str]| prop::sample::select(some);
    let before = around(&[
        "",
        "",
        "",
        "",
        "",
        "https://",
        "HTTP://",
        " ",
        "<",
        "https%3a%2f%2f",
        "\u{200b}",
        "u@",
        "see: ",
        "ttps://",
        "my domain ",
    ]);
    let after = around(&[
        "",
        "",
        "",
        "",
        "",
        "/",
        ".",
        ")",
        ":443",
        ":x",
        "#a",
        "?q=%ff",
        "\\",
        "\u{2069}",
        " and more",
        "-",
        "%20",
    ]);
    (before, name, ending, after)
        .prop_map(|(before, name, ending, after)| [before, &name, ending, after].concat())
}

/// The org whose full host is in a plain text, if no other part of the text can be a host.
fn named(text: &str) -> Option<&str> {
    let (before, after) = text.split_once(".my.salesforce.com")?;
    let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()?;
    let is_plain = text.bytes().all(|b| (b == b' ' || b.is_ascii_graphic()) && b != b'%' && b != b'&');
    let is_only = !before.contains('.') && (after.is_empty() || after.starts_with(['/', ' ', ')', ',']));
    (is_plain && is_only).then(|| name.trim_start_matches('-'))
}

/// Builds every request for an accepted host, and checks that the text names its org.
fn build_all(hosts: &Hosts, typed: &str) -> Result<bool, TestCaseError> {
    let Ok(host) = hosts.my_domain(typed) else { return Ok(false) };
    let url = Url::parse(host.origin()).map_err(|why| TestCaseError::fail(why.to_string()))?;
    let ends_well =
        [".salesforce.com", ".salesforce.mil", ".sfcrmproducts.cn"].map(|end| host.host().ends_with(end));
    prop_assert!(ends_well.contains(&true), "{}", host.host());
    let text = typed.to_ascii_lowercase();
    let org = host.host().split('.').next().unwrap_or_default();
    prop_assert!(named(&text).is_none_or(|named| named == org), "{}", host.host());
    if text.is_ascii() && !text.contains(['.', '%']) {
        let last = text.rsplit(['/', ':']).next().unwrap_or_default();
        prop_assert!(last.contains(org), "{}", host.host());
    }
    prop_assert_eq!((url.host_str(), url.path(), url.port()), (Some(host.host()), "/", None));
    prop_assert_eq!(hosts.readmit(host.origin()), Ok(host.clone()));
    prop_assert_eq!(hosts.my_domain(host.host()), Ok(host.clone()));
    prop_assert!(http::Request::get(host.at("/services/oauth2/token")).body(()).is_ok());
    prop_assert!(host.url_at("/services/oauth2/authorize").as_str().starts_with(host.origin()));
    Ok(true)
}

#[test]
fn host_shaped_texts_are_accepted_often() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted = (0..500)
        .filter(|_| {
            let tree = host_shaped().new_tree(&mut runner).expect("a text");
            Hosts::salesforce().my_domain(&tree.current()).is_ok()
        })
        .count();
    assert!((150..450).contains(&accepted), "{accepted} of 500");
}

proptest! {
    #[test]
    fn any_text_becomes_a_usable_salesforce_host_or_a_refusal(typed in "\\PC{0,80}") {
        build_all(&Hosts::salesforce(), &typed)?;
    }

    #[test]
    fn damaged_address_names_its_own_org_or_none(
        before in "[a-z0-9:/'(, -]{0,12}",
        after in "(|/|/[a-z./:-]{0,12}| is ours|\\))",
    ) {
        build_all(&Hosts::salesforce(), &format!("{before}acme.my.salesforce.com{after}"))?;
    }

    #[test]
    fn host_shaped_texts_become_usable_hosts(typed in host_shaped()) {
        build_all(&Hosts::salesforce(), &typed)?;
    }
}

use domain::product::{AppAbout, AppOwner, AppPolicy};
use serde_json::json;

use super::*;

mod at_once;

const GOOD: &str = r##"
id = "fernway"
return_addresses = ["https://app.fernway.example/salesforce/return"]

[brand]
name = "Fernway"
colour = "#1f6f54"
support = { email = "help@fernway.example" }

[[apps]]
id = "sync"
kind = "connected_app"
consumer_key = "3MVG9"
secret = "latchkey/dev/apps/fernway-sync"
scopes = ["api", "refresh_token"]
names = ["Fernway Sync"]
"##;

fn errors_of(text: &str) -> String {
    read_product(Path::new("fernway.toml"), text).unwrap_err().to_string()
}

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let product = read_product(Path::new("fernway.toml"), GOOD).unwrap();
    assert!(product.redeem);
    assert_eq!(product.brand.customer_word, "workspace");
    assert_eq!(product.apps[0].access_token_minutes, 15);
    assert_eq!(product.apps[0].login_hosts.len(), 3);
}

#[test]
fn switching_redeeming_off_is_an_error_that_names_the_change() {
    for value in ["false", "true"] {
        let errors =
            errors_of(&GOOD.replace("id = \"fernway\"\n", &format!("id = \"fernway\"\nredeem = {value}\n")));
        assert!(errors.starts_with("fernway.toml:3: redeem: redeeming can't be switched off"), "{errors}");
        assert!(errors.contains("Delete this line"), "{errors}");
    }
}

#[test]
fn what_is_no_toml_or_of_the_wrong_type_is_named_with_its_line() {
    insta::assert_snapshot!(errors_of("id = "), @"fernway.toml:1: string values must be quoted, expected literal string");
    assert_eq!(
        errors_of(&GOOD.replace("\"connected_app\"", "\"connected\"")),
        "fernway.toml:12: apps[0].kind: unknown variant `connected`, expected `connected_app` or `external_client_app`"
    );
    assert_eq!(
        errors_of(&GOOD.replace("id = \"sync\"", "id = \"Sync!\"")),
        "fernway.toml:11: apps[0].id: not an app id (a-z, 0-9 and hyphens, at most 40)"
    );
    assert_eq!(
        errors_of(&GOOD.replace("name = \"Fernway\"", "nmae = \"Fernway\"")),
        "fernway.toml:5: brand: missing field `name`\n\
         fernway.toml:6: brand.nmae: unknown field `nmae`, expected one of `name`, `logo`, `colour`, `customer_word`, `support`, `publisher`, `security`"
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let bad = GOOD
        .replace("https://app.fernway.example/salesforce/return", "http://app.fernway.example")
        .replace("#1f6f54", "green")
        .replace("[\"api\", \"refresh_token\"]", "[\"api\"]");
    insta::assert_snapshot!(errors_of(&bad), @r"
    fernway.toml:3: return_addresses: an https address is needed (http only for this machine: localhost, 127.0.0.1 or [::1])
    fernway.toml:7: brand.colour: a colour is written #rrggbb
    fernway.toml:15: apps[0].scopes: refresh_token (or offline_access) is needed: without it every connection ends within hours
    ");
}

#[test]
fn wrong_types_are_said_at_once_with_the_rest() {
    let bad = GOOD
        .replace("\"connected_app\"", "\"connected\"")
        .replace("id = \"sync\"", "id = \"Sync!\"\naccess_token_minutes = \"15\"")
        .replace("colour = \"#1f6f54\"", "colour = \"green\"\ncolor = \"red\"")
        .replace("names = [\"Fernway Sync\"]", "names = \"Fernway Sync\"")
        .replace("\"refresh_token\"]", "7]");
    let errors = errors_of(&bad);
    for says in [
        "brand.colour: a colour is written",
        "brand.color: unknown field",
        "apps[0].id: not an app id",
        "apps[0].access_token_minutes: invalid type",
        "apps[0].kind: unknown variant",
        "apps[0].names: invalid type",
        "apps[0].scopes[1]: invalid type",
    ] {
        assert!(errors.contains(says), "{says}\n{errors}");
    }
    assert_eq!(errors.lines().count(), 7, "{errors}");
}

#[test]
fn settings_that_make_no_sense_are_said_at_once() {
    let bad = GOOD
        .replace("https://app.fernway.example/salesforce/return", "https://*.fernway.example/back")
        .replace("help@fernway.example", "mailto:help@fernway.example")
        .replace("\"3MVG9\"", "\"3MVG9\\u200B\"")
        .replace(
            "latchkey/dev/apps/fernway-sync",
            "8F3A1C77E0D24B1F9E0C7B6A5D4E3F2A1B0C9D8E7F6A5B4C3D2E1F0A9B8C7D6E",
        )
        .replace("[\"api\", \"refresh_token\"]", "[\"API\", \"refresh_token\"]\nlogin_hosts = []")
        .replace("\"Fernway Sync\"", "\"Fernway Sync\", \"\"");
    let errors = errors_of(&bad);
    for says in [
        "fernway.toml:3: return_addresses: wildcards match nothing",
        "fernway.toml:8: brand.support.email: leave out mailto:",
        "fernway.toml:13: apps[0].consumer_key: it has an invisible character (U+200B)",
        "fernway.toml:14: apps[0].secret: this looks like the secret itself",
        "fernway.toml:15: apps[0].scopes: \"API\" is written api",
        "fernway.toml:16: apps[0].login_hosts: an empty list",
        "fernway.toml:17: apps[0].names: the name by which",
    ] {
        assert!(errors.contains(says), "{says}\n{errors}");
    }
    assert!(errors.lines().count() == 7 && !errors.contains("8F3A1C"), "{errors}");
}

#[test]
fn a_product_that_no_item_holds_is_refused_with_its_size() {
    let (head, app) = GOOD.split_at(GOOD.find("[[apps]]").unwrap());
    let apps: String = (0..2_000).map(|n| app.replace("\"sync\"", &format!("\"sync-{n}\""))).collect();
    let errors = errors_of(&format!("{head}{apps}"));
    assert!(errors.starts_with("fernway.toml: apps: the product is stored as one item"), "{errors}");
}

#[test]
fn an_address_is_written_as_it_is_compared() {
    insta::assert_snapshot!(
        errors_of(&GOOD.replace("https://app.fernway.example/salesforce/return", "https://app.fernway.example")),
        @"fernway.toml:3: return_addresses: addresses are compared character for character: write it as https://app.fernway.example/"
    );
}

#[test]
fn scope_that_salesforce_may_have_added_is_a_warning() {
    let text =
        GOOD.replace(r#"scopes = ["api", "refresh_token"]"#, r#"scopes = ["agent_api", "refresh_token"]"#);
    let (_, warnings) = check_product(Path::new("fernway.toml"), &text).expect("it is no error");
    let said = warnings.to_string();
    assert!(
        said.starts_with("fernway.toml:15: apps[0].scopes: warning: scope \"agent_api\" is not one"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let finding = &warnings.findings()[0];
    assert_eq!((&finding["line"], &finding["field"]), (&json!(15), &json!("apps[0].scopes")), "{finding}");
}

#[test]
fn unknown_scope_is_said_together_with_errors() {
    let bad = GOOD
        .replace("help@fernway.example", "mailto:help@fernway.example")
        .replace(r#"scopes = ["api", "refresh_token"]"#, r#"scopes = ["apl", "refresh_token"]"#);
    let errors = errors_of(&bad);
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines[0].starts_with("fernway.toml:8: brand.support.email: leave out mailto:"), "{errors}");
    assert!(lines[1].starts_with("fernway.toml:15: apps[0].scopes: warning: scope \"apl\""), "{errors}");
    assert_eq!(lines.len(), 2, "{errors}");
}

#[test]
fn warning_of_one_file_is_said_with_the_errors_of_another() {
    let folder = std::env::temp_dir().join(format!("latchkey-warnings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.toml"), GOOD.replace("\"api\"", "\"apl\"")).unwrap();
    std::fs::write(folder.join("b.toml"), GOOD.replace("#1f6f54", "green")).unwrap();

    let errors = check_products(&folder).unwrap_err().to_string();

    std::fs::remove_dir_all(&folder).unwrap();
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines[0].contains("a.toml:15: apps[0].scopes: warning: scope \"apl\""), "{errors}");
    assert!(lines[1].contains("b.toml:7: brand.colour"), "{errors}");
}

#[test]
fn http_is_for_this_machine_alone() {
    let with = |address: &str| {
        read_product(
            Path::new("fernway.toml"),
            &GOOD.replace("https://app.fernway.example/salesforce/return", address),
        )
    };
    for here in [
        "http://localhost:3000/return",
        "http://app.localhost/return",
        "http://127.0.0.1:3000/return",
        "http://127.8.8.8/return",
        "http://[::1]:3000/return",
    ] {
        assert!(with(here).is_ok(), "{here}: {:?}", with(here).err());
    }
    for elsewhere in [
        "http://10.0.0.1/return",
        "http://0.0.0.0/return",
        "http://[::2]/return",
        "http://127.0.0.1.example/return",
        "http://localhost.example/return",
        "ftp://127.0.0.1/return",
    ] {
        let errors = with(elsewhere).expect_err(elsewhere).to_string();
        assert!(errors.contains("an https address is needed"), "{elsewhere}: {errors}");
    }
}

#[test]
fn settings_that_are_exchanged_or_repeated_are_told() {
    const SECRET: &str = "8F3A1C77E0D24B1F9E0C7B6A5D4E3F2A1B0C9D8E7F6A5B4C3D2E1F0A9B8C7D6E";
    let packages = |production: &str, sandbox: &str| {
        format!(
            "names = [\"Fernway Sync\"]\npackages = {{ production = \"https://{production}/packaging/x\", sandbox = \
             \"https://{sandbox}/packaging/x\" }}"
        )
    };
    let (login, test) = ("login.salesforce.com", "test.salesforce.com");
    let names = "names = [\"Fernway Sync\"]";
    let back = "https://app.fernway.example/salesforce/return";
    for (change, to, says) in [
        ("\"3MVG9\"", format!("{SECRET:?}"), "apps[0].consumer_key: this looks like the consumer secret"),
        (
            "\"3MVG9\"",
            "\"4823941178342190553\"".into(),
            "apps[0].consumer_key: this looks like the consumer secret",
        ),
        (
            "latchkey/dev/apps/fernway-sync",
            "3MVG9.fernway_sync".into(),
            "apps[0].secret: this looks like a consumer key",
        ),
        ("\"api\", ", "\"api\", \"api\", ".into(), "apps[0].scopes: \"api\" is listed twice"),
        ("\"Fernway Sync\"", "\"Sync\", \"Sync\"".into(), "apps[0].names: \"Sync\" is listed twice"),
        (back, format!("{back}\", \"{back}"), "return_addresses: this address is listed twice"),
        (back, format!("{back}?receipt=1"), "return_addresses: its query has receipt"),
        (back, format!("{back}?a=b&connect_session="), "return_addresses: its query has connect_session"),
        (
            names,
            packages(test, test),
            "apps[0].packages.production: test.salesforce.com installs into the other",
        ),
        (
            names,
            packages(login, login),
            "apps[0].packages.sandbox: login.salesforce.com installs into the other",
        ),
    ] {
        let errors = errors_of(&GOOD.replace(change, &to));
        assert!(errors.contains(says) && errors.lines().count() == 1, "{says}: {errors}");
        assert!(!errors.contains(SECRET) && !errors.contains("4823941178342190553"), "{errors}");
    }
    assert!(read_product(Path::new("fernway.toml"), &GOOD.replace(names, &packages(login, test))).is_ok());
    assert!(read_product(Path::new("fernway.toml"), &GOOD.replace(back, &format!("{back}?from=sf"))).is_ok());
}

#[test]
fn what_people_should_know_of_an_app_is_optional_and_checked() {
    let about = |text: &str| format!("{GOOD}\n[apps.about]\n{text}\n");
    assert_eq!(read_product(Path::new("x"), GOOD).unwrap().apps[0].about, AppAbout::default());
    let text = about(
        "purpose = \"Syncs data.\"\nowner = \"customer\"\nconnect_at = \"Settings\"\ncheck = [\"A\"]\npolicy = \"admin_approved\"",
    );
    let read = read_product(Path::new("x"), &text).unwrap().apps.remove(0).about;
    assert_eq!((read.owner, read.policy), (AppOwner::Customer, Some(AppPolicy::AdminApproved)));
    assert_eq!((read.purpose.as_deref(), read.check.len()), (Some("Syncs data."), 1));
    for (text, field, what) in [
        ("purpose = \"\"", "apps[0].about.purpose", "1 to 200 bytes"),
        ("connect_at = \"Set\\u200btings\"", "apps[0].about.connect_at", "invisible"),
        ("keys_at = \"\"", "apps[0].about.keys_at", "1 to 120 bytes"),
        ("check = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\"]", "apps[0].about.check", "at most 5"),
        ("owner = \"me\"", "apps[0].about.owner", "unknown variant"),
        ("purpos = \"x\"", "apps[0].about", "unknown field"),
    ] {
        let errors = errors_of(&about(text));
        assert!(errors.contains(field) && errors.contains(what), "{text}: {errors}");
    }
}

#[test]
fn webhook_endpoints_are_read_with_their_defaults() {
    let endpoint = "\n[[webhooks]]\nid = \"backend\"\nurl = \"https://hooks.fernway.example/latchkey\"\nsecret = \"latchkey/dev/webhooks/b\"\n";
    let product = read_product(Path::new("fernway.toml"), &format!("{GOOD}{endpoint}")).unwrap();
    assert_eq!(product.webhooks[0].events, ["*"]);
    assert!(product.webhooks[0].receives("connection.blocked"));
    assert!(read_product(Path::new("fernway.toml"), GOOD).unwrap().webhooks.is_empty());
}

#[test]
fn everything_wrong_with_webhook_endpoints_is_said_at_once() {
    let endpoint =
        |id: &str, url: &str, rest: &str| format!("\n[[webhooks]]\nid = \"{id}\"\nurl = \"{url}\"\n{rest}\n");
    let bad = [
        GOOD.to_owned(),
        endpoint("a", "http://hooks.fernway.example/", "secret = \"latchkey/dev/webhooks/a\""),
        endpoint(
            "a",
            "https://hooks.fernway.example:8443/",
            "secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"",
        ),
        endpoint("c", "https://169.254.169.254/", "secret = \"latchkey/dev/webhooks/c\"\nevents = []"),
        endpoint(
            "d",
            "https://[::ffff:10.0.0.1]/",
            "secret = \"x y\"\nevents = [\"connection.*\", \"conection.blocked\"]",
        ),
        endpoint(
            "e",
            "https://hooks.fernway.example/#a",
            "secret = \"latchkey/dev/webhooks/e\"\nsecrets = \"x\"",
        ),
    ];
    let errors = errors_of(&bad.concat());
    for says in [
        "webhooks[0].url: the URL must begin with https://",
        "webhooks[1].url: the port must be 443",
        "webhooks[1].secret: this is the signing secret itself",
        "webhooks[2].url: the host has an address that is not public",
        "webhooks[2].events: an empty list receives nothing",
        "webhooks[3].url: the host has an address that is not public",
        "webhooks[3].secret: it has a space in it",
        "webhooks[3].events: \"conection.blocked\" is no event type",
        "webhooks[4].url: an address without a fragment is needed",
        "webhooks[4].secrets: unknown field",
    ] {
        assert!(errors.contains(says), "{says}\n{errors}");
    }
    assert!(!errors.contains("MfKQ9r8"), "a secret is not repeated: {errors}");
    let lines: Vec<usize> = errors.lines().filter_map(|line| line.split(':').nth(1)?.parse().ok()).collect();
    assert!(lines.len() >= 10 && lines.is_sorted(), "{errors}");
}

#[test]
fn endpoint_ids_are_unique() {
    let endpoint = "\n[[webhooks]]\nid = \"a\"\nurl = \"https://hooks.fernway.example/\"\nsecret = \"latchkey/dev/webhooks/a\"\n";
    let errors = errors_of(&format!("{GOOD}{endpoint}{endpoint}"));
    assert!(errors.contains("webhooks[1].id: another endpoint of this product has this id"), "{errors}");
}

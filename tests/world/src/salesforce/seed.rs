//! The orgs that every world starts with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::{
    ids::record_id,
    org::{Org, OrgKind, Permission, PermissionSet, User},
};

pub(super) const SYSTEM_ADMINISTRATOR: &str = "System Administrator";
const STANDARD_USER: &str = "Standard User";
const SALES: &str = "Sales";
const READ_ONLY: &str = "Read Only";

/// Two customers in production, a sandbox of the first, and the org in which the vendor makes its apps.
pub(super) fn orgs() -> Vec<Org> {
    let acme = ["Ada Admin", "Uma User", "Sam Sales", "Rob Reader"];
    vec![
        org(1, "acme", "Acme Corporation", OrgKind::Production, "acme.example", &acme),
        org(2, "globex", "Globex Inc.", OrgKind::Production, "globex.example", &["Gil Admin", "Gus User"]),
        org(3, "acme--uat", "Acme Corporation", OrgKind::Sandbox, "acme.example.uat", &acme),
        org(4, "vendor", "The vendor's org", OrgKind::Developer, "vendor.example", &["Vera Admin"]),
    ]
}

/// One more customer in production.
pub(super) fn customer(serial: u64, name: &str) -> Org {
    let people = ["Ann Admin", "Ulf User"];
    org(serial, name, name, OrgKind::Production, &format!("{name}.example"), &people)
}

/// The first of `people` is the admin; then a standard user, one with a custom profile, and one without the API.
fn org(serial: u64, name: &str, title: &str, kind: OrgKind, domain: &str, people: &[&str]) -> Org {
    let profiles = [SYSTEM_ADMINISTRATOR, STANDARD_USER, SALES, READ_ONLY];
    let users = people.iter().zip(profiles).enumerate().map(|(index, (person, profile))| {
        let first = person.split(' ').next().unwrap_or(person).to_lowercase();
        User {
            id: record_id("005", serial * 100 + index as u64),
            username: format!("{first}@{domain}"),
            name: (*person).to_owned(),
            email: format!("{first}@{}", domain.trim_end_matches(".uat")),
            profile: profile.to_owned(),
            permission_sets: BTreeSet::new(),
            active: true,
        }
    });
    Org {
        name: name.to_owned(),
        title: title.to_owned(),
        id: record_id("00D", serial),
        kind,
        users: users.collect(),
        profiles: profiles.map(profile).to_vec(),
        permission_sets: Vec::new(),
        api_access_control: false,
        require_pkce: false,
        rotate_refresh_tokens: false,
        session_timeout: SignedDuration::from_hours(2),
        records: records(serial, title),
        apps: BTreeMap::new(),
    }
}

/// Only the standard System Administrator has Approve Uninstalled Connected Apps.
fn profile(name: &str) -> PermissionSet {
    let permissions = match name {
        SYSTEM_ADMINISTRATOR => {
            Permission::ALL.into_iter().filter(|held| *held != Permission::UseAnyApiClient).collect()
        }
        READ_ONLY => BTreeSet::new(),
        _ => BTreeSet::from([Permission::ApiEnabled]),
    };
    PermissionSet { name: name.to_owned(), permissions }
}

fn records(serial: u64, title: &str) -> BTreeMap<String, Vec<Map<String, Value>>> {
    let accounts = [
        (format!("{title} Headquarters"), "Manufacturing", "Springfield"),
        ("Initech".to_owned(), "Technology", "Austin"),
        ("Umbrella Logistics".to_owned(), "Transportation", "Rotterdam"),
    ];
    let contacts = [("Grace", "Hopper"), ("Alan", "Turing"), ("Edith", "Clarke"), ("Jean", "Bartik")];
    let account_id = |index: usize| record_id("001", serial * 1000 + index as u64);
    let accounts = accounts.iter().enumerate().map(|(index, (name, industry, city))| {
        record(json!({ "Id": account_id(index), "Name": name, "Industry": industry, "BillingCity": city }))
    });
    let contacts = contacts.iter().enumerate().map(|(index, (first, last))| {
        record(json!({
            "Id": record_id("003", serial * 1000 + index as u64),
            "FirstName": first,
            "LastName": last,
            "Name": format!("{first} {last}"),
            "Email": format!("{}@customer.example", first.to_lowercase()),
            "AccountId": account_id(index % 3),
        }))
    });
    BTreeMap::from([("Account".to_owned(), accounts.collect()), ("Contact".to_owned(), contacts.collect())])
}

fn record(fields: Value) -> Map<String, Value> {
    match fields {
        Value::Object(fields) => fields,
        _ => unreachable!("a record is an object"),
    }
}

//! Connections that stop alike, one after another: a wave is one incident, and what is counted is counted once.

use std::time::Duration;

use domain::ConnectionId;
use protocol::{Answer, Process, Rig, ether::Calm, rig::CONSUMER_KEY, run};
use serde_json::Value;
use tokio::time::sleep;
use world::salesforce::PermittedUsers;

const MINUTE: Duration = Duration::from_mins(1);

async fn ask(rig: &Rig, process: &Process, connection: &ConnectionId) -> Answer {
    process.answer(rig.call_for(connection, None)).await
}

/// One connection in each of so many orgs.
async fn in_orgs(rig: &Rig, number: usize) -> Vec<ConnectionId> {
    let mut connections = Vec::new();
    for org in 0..number {
        let org = rig.world.add_customer(&format!("customer{org}")).name;
        rig.world.install(&org, CONSUMER_KEY).expect("the app can be installed");
        connections.push(rig.connect_in(&org, 0).await);
    }
    connections
}

/// So many connections of Acme's, of its four users.
async fn in_one_org(rig: &Rig, number: usize) -> Vec<ConnectionId> {
    let mut connections = vec![rig.connection.clone()];
    for user in 1..number {
        connections.push(rig.connect_another(user % 4).await);
    }
    connections
}

#[test]
fn the_grants_of_many_orgs_that_end_within_the_hour_are_one_incident_of_the_app() {
    run(async {
        let mut rig = Rig::new(true).await;
        let connections = in_orgs(&rig, 8).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        for org in 0..8 {
            rig.world.uninstall(&format!("customer{org}"), CONSUMER_KEY);
        }
        let mut answers = Vec::new();
        for connection in &connections {
            // Each is asked for many times, and by two at once: it stops once.
            let (answer, _) = tokio::join!(ask(&rig, &process, connection), ask(&rig, &process, connection));
            assert_eq!(answer.status, 409, "{}", answer.body);
            answers.push(ask(&rig, &process, connection).await);
            sleep(5 * MINUTE).await;
        }
        let incidents: Vec<&Value> = answers.iter().map(|answer| &answer.body["incident"]).collect();
        assert!(
            incidents[..4].iter().all(|incident| incident.is_null()),
            "four may be chance: {incidents:?}"
        );
        let wave = incidents[4];
        assert_eq!(wave["scope"], "app", "{wave}");
        assert!(wave["id"].as_str().is_some_and(|id| id.starts_with("in_")));
        assert!(incidents[5..].iter().all(|incident| *incident == wave), "one incident: {incidents:?}");
        let cause = &answers[0].body["cause"];
        assert!(answers.iter().all(|answer| answer.body["cause"] == *cause));
    });
}

#[test]
fn the_connections_of_one_org_that_stop_together_are_an_incident_of_the_org() {
    run(async {
        let mut rig = Rig::new(true).await;
        let connections = in_one_org(&rig, 6).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.world.uninstall("acme", CONSUMER_KEY);
        let mut scopes = Vec::new();
        for connection in &connections {
            scopes.push(ask(&rig, &process, connection).await.body["incident"]["scope"].clone());
        }
        let [none, org] = [Value::Null, Value::from("org")];
        assert_eq!(
            scopes,
            [&none, &none, &none, &none, &org, &org].map(Clone::clone),
            "one org is no app's wave"
        );
    });
}

#[test]
fn second_hour_is_measured_against_the_calm_hour_before() {
    run(async {
        let mut rig = Rig::new(true).await;
        let connections = in_orgs(&rig, 8).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        for org in 0..8 {
            rig.world.uninstall(&format!("customer{org}"), CONSUMER_KEY);
        }
        for connection in &connections[..2] {
            assert!(ask(&rig, &process, connection).await.body["incident"].is_null());
        }
        sleep(61 * MINUTE).await;
        let mut incidents = Vec::new();
        for connection in &connections[2..] {
            incidents.push(ask(&rig, &process, connection).await.body["incident"].clone());
        }
        assert!(incidents[..5].iter().all(Value::is_null), "two an hour are usual here: {incidents:?}");
        assert_eq!(incidents[5]["scope"], "app", "three times as many are a wave: {incidents:?}");
    });
}

#[test]
fn wave_goes_on_into_the_next_hour_and_ends_with_a_calm_one() {
    run(async {
        let mut rig = Rig::new(true).await;
        let connections = in_orgs(&rig, 7).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        for org in 0..7 {
            rig.world.uninstall(&format!("customer{org}"), CONSUMER_KEY);
        }
        let mut incidents = Vec::new();
        for (number, connection) in connections.iter().enumerate() {
            if number >= 5 {
                sleep(61 * MINUTE).await;
            }
            incidents.push(ask(&rig, &process, connection).await.body["incident"].clone());
        }
        assert!(incidents[4]["id"].is_string(), "{incidents:?}");
        assert_eq!(incidents[5]["id"], incidents[4]["id"], "the next hour's first stop is part of it");
        assert!(incidents[6].is_null(), "an hour with one stop was calm: {incidents:?}");
    });
}

#[test]
fn hour_of_a_wave_counts_a_hundred_and_no_more() {
    run(async {
        let rig = Rig::new(true).await;
        let (store, now) = (rig.store(), rig.clock.now());
        let (product, app) = ("fernway".parse().expect("an id"), "sync".parse().expect("an id"));
        let over = domain::incident::Over::App(&app);
        let mut last = None;
        for number in 0..105 {
            let org = format!("00D{number:012}AAA").parse().expect("an org");
            let stopped = (&rig.connection, &org);
            last = store.count_stop(&product, &over, "answer_lost", stopped, now).await.expect("counted");
        }
        assert!(last.is_some(), "what is not counted any more is part of it all the same");
        let wave = rig.wave("APP", "sync").expect("it is counted");
        assert_eq!(wave["members"]["SS"].as_array().map(Vec::len), Some(domain::incident::MOST));
    });
}

#[test]
fn one_connection_that_stays_blocked_is_one_stop_however_often_it_is_tried() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.world.set_permitted_users("acme", CONSUMER_KEY, PermittedUsers::AdminApprovedPreAuthorized);
        for _ in 0..40 {
            let answer = ask(&rig, &process, &rig.connection).await;
            assert_eq!(answer.problem(), "blocked-by-org", "{}", answer.body);
            assert!(answer.body["incident"].is_null(), "{}", answer.body);
            sleep(MINUTE + Duration::from_secs(1)).await;
        }
        let wave = rig.wave("ORG", &rig.world.org("acme").id[..15]).expect("it is counted");
        assert_eq!(wave["members"]["SS"].as_array().map(Vec::len), Some(1), "{wave}");
    });
}

#[test]
fn counting_a_stop_costs_two_writes_and_two_more_for_the_first_of_the_hour() {
    run(async {
        let mut rig = Rig::new(true).await;
        let connections = in_one_org(&rig, 3).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        assert_eq!(ask(&rig, &process, &connections[0]).await.status, 200, "warm");
        rig.world.uninstall("acme", CONSUMER_KEY);
        let mut requests = Vec::new();
        for connection in &connections[1..] {
            rig.ether.set(Calm);
            assert_eq!(ask(&rig, &process, connection).await.status, 409);
            requests.push(rig.ether.requests());
        }
        // Read, what is known of app and host, lease, *began*, Salesforce, the two counts, the stop.
        assert_eq!(requests, [8 + 2, 8]);
    });
}

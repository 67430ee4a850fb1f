//! The catalogue: every cause has words for who acts, and what the build refuses.

use diagnosis::guide::{Audience, Section};
use diagnosis::{Actor, Cause, Playbook, Step, catalogue, cause};
use domain::AppKind;

#[path = "../build/check.rs"]
mod check;
#[path = "../build/format.rs"]
mod format;
#[path = "../src/words.rs"]
mod words;
#[path = "../build/write.rs"]
mod write;

/// Fills in the placeholders as a page does.
fn fill(text: &str) -> String {
    [
        ("{app}", "Acme Sync"),
        ("{product}", "Acme"),
        ("{customer}", "Blue Ltd"),
        ("{support}", "help@acme.example"),
        ("{addresses}", "203.0.113.7"),
        ("{policy}", "Admin approved users are pre-authorized"),
        ("{connect_at}", "Settings > Salesforce"),
        ("{keys_at}", "Settings > Salesforce > App"),
        ("{package_link}", "https://login.salesforce.com/packaging/installPackage.apexp?p0=04t000000000001"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn all_steps(cause: &Cause) -> Vec<&Step> {
    let playbook = |playbook: Option<&'static Playbook>| {
        playbook.into_iter().flat_map(|playbook| {
            let branches = playbook.branches.iter().flat_map(|branch| branch.steps);
            playbook.steps.iter().chain(playbook.check).chain(branches)
        })
    };
    let cause = catalogue().iter().find(|own| own.id == cause.id).expect("it is of the catalogue");
    cause
        .end_user
        .iter()
        .chain(playbook(cause.admin.as_ref()))
        .chain(playbook(cause.vendor.as_ref()))
        .chain(playbook(cause.owner.as_ref()))
        .collect()
}

fn words_of(cause: &Cause) -> String {
    let mut words = format!("{} {} {}", cause.title, cause.why, cause.question.unwrap_or_default());
    for playbook in [&cause.admin, &cause.vendor].into_iter().flatten() {
        words.push_str(playbook.goal);
        for branch in playbook.branches {
            words.push_str(branch.question);
        }
    }
    for step in all_steps(cause) {
        words.push('\n');
        words.push_str(step.text);
    }
    words
}

#[test]
fn every_cause_renders_words_for_who_acts() {
    assert!(catalogue().len() > 50);
    for cause in catalogue() {
        assert!(!cause.end_user.is_empty(), "{}", cause.id);
        match cause.actor {
            Actor::Admin => assert!(cause.admin.is_some(), "{}", cause.id),
            Actor::Vendor => assert!(cause.vendor.is_some(), "{}", cause.id),
            Actor::Wait => assert!(cause.wait_minutes.is_some(), "{}", cause.id),
            Actor::EndUser => {}
        }
        let rendered = fill(&words_of(cause));
        assert!(!rendered.contains(['{', '}']), "{}: {rendered}", cause.id);
    }
}

#[test]
fn every_playbook_has_steps_for_both_kinds_of_app_and_without_a_package() {
    for cause in catalogue() {
        for playbook in [&cause.admin, &cause.vendor].into_iter().flatten() {
            for kind in [AppKind::ConnectedApp, AppKind::ExternalClientApp] {
                let left = playbook
                    .steps
                    .iter()
                    .filter(|step| step.only.is_none_or(|only| only == kind) && !step.needs_package)
                    .count();
                assert!(left > 0, "{}: {kind:?}", cause.id);
            }
        }
    }
}

#[test]
fn what_is_ours_is_never_blamed_on_the_customer() {
    for cause in catalogue().iter().filter(|cause| cause.actor == Actor::Vendor) {
        let end_user: String = cause.end_user.iter().map(|step| step.text).collect();
        // Of an unknown error nobody knows whose it is.
        assert!(end_user.contains("sorry") || cause.id == diagnosis::UNKNOWN, "{}: {end_user}", cause.id);
        assert!(cause.admin.is_none() || cause.id == "unknown", "{}: an admin cannot mend it", cause.id);
    }
}

#[test]
fn what_the_end_user_reads_is_plain() {
    for cause in catalogue() {
        for text in cause.end_user.iter().map(|step| step.text).chain([cause.title]) {
            let text = &fill(text);
            assert!(!text.contains('_'), "{}: a code in `{text}`", cause.id);
            for sentence in text.split_inclusive(['.', ':', '?', '!']) {
                let words = sentence.split_whitespace().count();
                assert!(words <= 26, "{}: {words} words in `{sentence}`", cause.id);
            }
        }
    }
}

#[test]
fn setup_links_are_paths() {
    for step in catalogue().iter().flat_map(all_steps) {
        assert!(step.setup.is_none_or(|path| path.starts_with('/')), "{}", step.text);
        assert!(step.needs_package || !step.text.contains("{package_link}"), "{}", step.text);
    }
}

/// What the articles in whose place these pages stand tell people to do: each must be in the playbooks.
#[test]
fn the_seed_articles_steps_are_in_the_playbooks() {
    for (id, steps) in [
        (
            "app_not_installed",
            &[
                "Connected Apps OAuth Usage",
                "It may fail; that attempt makes the app appear",
                "click **Install**, and **Install** once more",
                "**Manage App Policies**",
                "**Edit Policies**",
                "**OAuth Policies**",
                "**Permitted Users**",
                "**Admin approved users are pre-authorized**",
                "**All users may self-authorize**",
                "click **Save**",
                "**Manage Profiles**",
                "**Manage Permission Sets**",
                "connect again",
                "**Uninstall**",
                "**Manage Connected Apps**",
                "**Setup > Platform Tools > Apps > Connected Apps > Connected Apps OAuth Usage**",
                "very bottom",
                "**Setup > Permission Sets**",
                "**System Permissions**",
                "**Approve Uninstalled Connected Apps**",
                "**Manage Assignments**",
                "**Add Assignments**",
                "**Assign**",
                "delete the permission set",
                "**Use Any API Client**",
                "**Install for Admins Only**",
                "**non-Salesforce application**",
                "Developer Edition",
                "**Setup > Package Manager**",
                "**Namespace Settings**",
                "**First Generation Packages**",
                "**Component Type**",
                "**Upload**",
                "**Managed - Released**",
                "**Migrate to External Client App**",
                "username-password flow",
                "one by one",
                "Does this touch other apps",
                "Is this a fault of {product}",
                "keep working until their sign-in ends",
                "September 2025",
                "sandboxes",
            ][..],
        ),
        (
            "app_blocked",
            &[
                "**Unblock**",
                "very bottom",
                "never installed",
                "**Permitted Users**",
                "gone from **Manage Connected Apps**",
            ][..],
        ),
        (
            "user_not_approved",
            &["**Admin approved users are pre-authorized**", "**Manage Profiles**", "an hour"][..],
        ),
        ("cross_org_eca", &["private browser window"][..]),
        (
            "scope_not_allowed",
            &[
                "Full access (full)",
                "Perform requests at any time (refresh_token, offline_access)",
                "openid",
                "up to 10 minutes",
            ][..],
        ),
        ("redirect_uri_mismatch", &["**Callback URL**", "up to 10 minutes"][..]),
        ("client_credentials_invalid", &["every connection has to be authorized again"][..]),
        ("grants_evicted", &["five approvals", "separate app for each installation"][..]),
    ] {
        let words = words_of(cause(id).expect(id));
        for step in steps {
            assert!(words.contains(step), "{id} lacks `{step}`");
        }
    }
}

/// A cause that is right in every way.
const CAUSE: &str = r#"
actor = "admin"
label = "A label"
title = "A title."
why = "A reason."
end_user = ["Ask."]

[admin]
goal = "It works."
steps = ["Click **Install**."]

[[evidence]]
code = ["some_code"]
confidence = "sure"
because = "It says so."
"#;

/// A guide that is right in every way.
const GUIDE: &str = r#"
title = "A title."
lead = "A lead."

[[sections]]
id = "the-start"
title = "A part."
text = ["Read."]
copy = "{callback}"
"#;

fn read(changed: &str, more: &[(&str, &str)]) -> Result<format::Catalogue, Vec<String>> {
    let mut files = vec![("catalogue/causes/one.toml".to_owned(), changed.to_owned())];
    files.push((
        "catalogue/causes/unknown.toml".to_owned(),
        CAUSE.replace("some_code", "other_code").replace("A label", "Unknown"),
    ));
    files.extend(check::AUDIENCES.map(|who| (format!("catalogue/guides/{who}.toml"), GUIDE.to_owned())));
    files.extend(more.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    format::read(&files)
}

fn faults(changed: &str, more: &[(&str, &str)]) -> Vec<String> {
    match read(changed, more) {
        Ok(catalogue) => check::faults(&catalogue),
        Err(faults) => faults,
    }
}

#[test]
fn a_right_catalogue_has_no_fault() {
    assert_eq!(faults(CAUSE, &[]), Vec::<String>::new());
    let rust = write::rust(&read(CAUSE, &[]).expect("no fault"));
    assert!(rust.contains(r#"Cause { id: "one", label: "A label", title: "A title.""#), "{rust}");
    assert!(rust.contains(r#"codes: &["some code"]"#), "{rust}");
    let rust = write::guides(&read(CAUSE, &[]).expect("no fault"));
    assert!(rust.contains(r#"static VENDOR: Guide = Guide { title: "A title.""#), "{rust}");
    assert!(rust.contains(r#"copy: Some("{callback}")"#), "{rust}");
}

#[test]
fn every_fault_names_its_file_and_field() {
    let rule = "\n[[evidence]]\nconfidence = \"likely\"\nbecause = \"x\"\n";
    for (changed, field, what) in [
        (CAUSE.replace("[admin]", "[vendor]"), "admin", "has no playbook"),
        (CAUSE.replace("\"admin\"", "\"wait\""), "wait_minutes", "how long"),
        (CAUSE.replace("\"admin\"", "\"boss\""), "line 2", "boss"),
        (CAUSE.replace("title", "titel"), "line 4", "titel"),
        (CAUSE.replace("A label", "Your app is blocked"), "label", "nobody addressed"),
        (CAUSE.replace("A label", "{app} blocked"), "label", "no placeholder"),
        (CAUSE.replace("A label", "App blocked."), "label", "no period"),
        (CAUSE.replace("A label", "Unknown"), "label", "another cause has the same"),
        (CAUSE.replace("[\"Ask.\"]", "[]"), "end_user", "every cause"),
        (CAUSE.replace("\"Ask.\"", "\"Ask {boss}.\""), "end_user", "`{boss}` is not a placeholder"),
        (CAUSE.replace("**Install**", "**Install"), "admin.steps", "does not close"),
        (
            CAUSE.replace("\"Click **Install**.\"", "{ use = \"nothing\" }"),
            "admin.steps",
            "`nothing` is not in",
        ),
        (
            CAUSE.replace("\"Click **Install**.\"", "{ text = \"x\", setup = \"/x\" }"),
            "admin.steps",
            "needs its `source`",
        ),
        (CAUSE.replace("why", "article = \"none\"\nwhy"), "article", "not in articles.toml"),
        (CAUSE.replace("[\"some_code\"]", "[\"--\"]"), "evidence 1", "no letter or digit"),
        (CAUSE.replace("code =", "status = [\"6xx\"]\ncode ="), "evidence 1", "`6xx`"),
        (CAUSE.replace("code =", "silent = true\ncode ="), "evidence 1", "silent"),
        (CAUSE.replace("code =", "says = [\"… x\"]\ncode ="), "evidence 1", "starts and ends with a word"),
        (
            CAUSE.replace("code =", "says = [\"a b\"]\nunless = [\"b\"]\ncode ="),
            "evidence 1",
            "rules out every phrase",
        ),
        (
            CAUSE.replace("some_code", "OTHER-CODE"),
            "evidence 1",
            "asks for the same as evidence 1 of one.toml",
        ),
        (format!("{CAUSE}{rule}"), "evidence 2", "asks for nothing"),
        (format!("{CAUSE}{rule}code = [\"Some-Code\"]\n"), "evidence 2", "asks for the same"),
        (
            format!("{CAUSE}{rule}code = [\"some_code\"]\nstage = [\"refresh\"]\n"),
            "evidence 2",
            "can never count",
        ),
    ] {
        let faults = faults(&changed, &[]);
        assert!(
            faults.iter().any(|fault| fault.starts_with("catalogue/causes/")
                && fault.contains(".toml: ")
                && fault.contains(field)
                && fault.contains(what)),
            "{field}: {what}\n{faults:#?}"
        );
    }
}

#[test]
fn a_fault_of_a_guide_names_its_file_and_field() {
    for (changed, place, what) in [
        (GUIDE.replace("lead", "laed"), "line 3", "laed"),
        (GUIDE.replace("A lead.", ""), "lead", "empty"),
        (GUIDE.replace("the-start", "The start"), "sections.id", "hyphens"),
        (format!("{GUIDE}{}", GUIDE.split_once("\n\n").unwrap().1), "sections.id", "each once"),
        (GUIDE.replace("{callback}", "{boss}"), "the-start.copy", "`{boss}` is not a placeholder"),
        (GUIDE.replace("\"Read.\"", "{ use = \"nothing\" }"), "the-start.text", "is not in"),
        (GUIDE.replace("text = [\"Read.\"]\ncopy = \"{callback}\"", ""), "the-start", "says something"),
        (format!("{GUIDE}branches = [\"none\"]\n"), "the-start.branches", "is not in playbooks.toml"),
        (format!("{GUIDE}articles = [\"none\"]\n"), "the-start.articles", "is not in articles.toml"),
        (
            format!("{GUIDE}terms = [{{ term = \"a\", means = \"**a\" }}]\n"),
            "the-start.terms",
            "does not close",
        ),
    ] {
        let faults = faults(CAUSE, &[("catalogue/guides/vendor.toml", &changed)]);
        assert!(
            faults.iter().any(|fault| fault.starts_with("catalogue/guides/vendor.toml: ")
                && fault.contains(place)
                && fault.contains(what)),
            "{place}: {what}\n{faults:#?}"
        );
    }
    let idle = faults(CAUSE, &[("catalogue/guides/boss.toml", GUIDE)]);
    assert_eq!(idle, ["catalogue/guides/boss.toml: no page shows this guide"]);
    let elsewhere = GUIDE.replace("Read.", "Read {callback}.");
    let found = faults(CAUSE, &[("catalogue/guides/admin.toml", &elsewhere)]);
    assert!(found.iter().any(|fault| fault.contains("the-start.text: `{callback}` is not")), "{found:?}");
}

/// Whichever kind of app it is, packaged or not: no part of a guide is a heading without its steps.
#[test]
fn every_guide_has_its_parts_for_both_kinds_of_app() {
    for audience in [Audience::Admin, Audience::Vendor] {
        for kind in [AppKind::ConnectedApp, AppKind::ExternalClientApp] {
            let mine = |section: &&Section| section.only.is_none_or(|only| only == kind);
            let sections: Vec<_> = audience.guide().sections.iter().filter(mine).collect();
            assert!(sections.len() > 5, "{audience:?} {kind:?}");
            for section in &sections {
                let steps = section.steps.iter().filter(|step| step.only.is_none_or(|only| only == kind));
                assert_eq!(section.steps.is_empty(), steps.count() == 0, "{}", section.id);
            }
            let installs = sections.iter().flat_map(|section| section.steps);
            assert!(installs.clone().any(|step| step.text.contains("click **Install**")));
        }
    }
}

/// What a guide tells an admin to do is what the error page of the same cause tells.
#[test]
fn the_guide_for_admins_is_in_step_with_the_error_pages() {
    let guide: Vec<_> = Audience::Admin.guide().sections.iter().flat_map(|part| part.steps).collect();
    let own = ["Go back to", "No install link", "Wait."];
    for id in ["app_not_installed", "eca_not_installed", "user_not_approved"] {
        let playbook = cause(id).and_then(|cause| cause.admin.as_ref()).expect(id);
        for step in playbook.steps.iter().filter(|step| !own.iter().any(|own| step.text.starts_with(own))) {
            assert!(guide.iter().any(|other| other.text == step.text), "{id}: {}", step.text);
        }
    }
}

#[test]
fn what_no_cause_uses_is_a_fault() {
    let shared = "[steps]\nidle = [\"x\"]\n[branches.idle]\nquestion = \"x?\"\nsteps = [\"x\"]\n";
    let found = faults(CAUSE, &[("catalogue/playbooks.toml", shared)]);
    assert!(found.iter().any(|fault| fault.contains("playbooks.toml: steps.idle")), "{found:?}");
    assert!(found.iter().any(|fault| fault.contains("playbooks.toml: branches.idle")), "{found:?}");
}

#[test]
fn the_words_that_are_compared_are_plain() {
    assert_eq!(
        words::normal("OAUTH_APP-Blocked: user hasn’t “Organisation” occurred!"),
        "oauth app blocked user hasnt organization occured"
    );
}

//! The requests of each attack.

use web::routes::{ROUTES, RouteSpec};
use world::browser::{
    RawRequest,
    attacker::{METHODS, OTHER_SITES, PREFETCHES, from_own_page},
};

use crate::attacker::{
    scene::Scene,
    table::{Attack, declared},
};

/// Who sends it: that decides what the answer may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The attacker, in the only way that the service accepts: they may get what the row gives.
    Attacker,
    /// The attacker, in a way that must be refused whatever the row gives.
    Refused,
    /// The victim's own browser, made to send it. It may see its own page; nothing may change.
    VictimsBrowser,
    /// The product's backend, which put somebody's text into a request: 4xx, and nothing changes.
    CarelessProduct,
    /// The attacker, as an operator of a product of their own: they see that product alone, and nothing changes.
    OtherOperator,
}

/// One request.
pub(crate) struct Shot {
    pub(crate) what: String,
    /// Its path, with the query.
    pub(crate) path: String,
    pub(crate) sender: Sender,
    pub(crate) request: RawRequest,
}

/// A path of the route, and the link whose session it is about, where it is about one.
pub(crate) struct Target<'a> {
    pub(crate) path: String,
    pub(crate) link: &'a world::browser::attacker::HeldLink,
}

pub(crate) struct Aim<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) route: &'static RouteSpec,
    pub(crate) attack: Attack,
}

impl Aim<'_> {
    /// All requests of this attack on this route.
    pub(crate) fn shots(&self) -> Vec<Shot> {
        match self.attack {
            Attack::ForgedCookies => self.forged_cookies(),
            Attack::OwnCookies => self.own_cookies(),
            Attack::OtherSitesForm => self.other_sites_form(),
            Attack::Prefetch => self.prefetch(),
            Attack::OtherMethods => self.other_methods(),
            Attack::UnknownParameter => self.parameters(false),
            Attack::RepeatedParameter => self.parameters(true),
            Attack::OtherProductsKey => self.other_products_key(),
            Attack::ForgedKey => self.forged_key(),
            Attack::Replay => self.replay(),
            Attack::OwnAnswerInVictimsBrowser => self.own_answer(),
            Attack::C1DecideForVictim => self.decide_for_victim(),
            // Told by `main`, after everybody else's: they end what they attack.
            Attack::M1RedeemAtOnce | Attack::M3SessionOutlivesKey => Vec::new(),
        }
    }

    fn forged_cookies(&self) -> Vec<Shot> {
        let attacker = &self.scene.attacker;
        let mut shots = Vec::new();
        for Target { path, link } in self.targets() {
            for (number, cookies) in attacker.forged_cookies(link).into_iter().enumerate() {
                for body in self.forms() {
                    let request = self.own_page(&path, body).header("cookie", &cookies);
                    let what = format!("value {number} in the session that is {} {body}", link.name);
                    shots.push(self.shot(&path, &what, Sender::Attacker, request));
                }
            }
        }
        shots
    }

    fn own_cookies(&self) -> Vec<Shot> {
        let cookies = self.scene.attacker.own_cookies(self.scene.origin());
        let mut shots = Vec::new();
        for Target { path, link } in self.targets() {
            for body in self.forms() {
                let request = self.own_page(&path, body).header("cookie", &cookies);
                shots.push(self.shot(&path, link.name, Sender::Attacker, request));
            }
        }
        shots.extend(self.as_other_operator());
        shots
    }

    fn other_sites_form(&self) -> Vec<Shot> {
        let mut shots = Vec::new();
        for path in self.targets().into_iter().map(|target| target.path).chain(self.unused_door()) {
            for (number, headers) in OTHER_SITES.iter().enumerate() {
                for body in self.forms() {
                    let mut request = self.form(&path, body).header("cookie", self.victims_cookies());
                    for (name, value) in *headers {
                        request = request.header(name, value);
                    }
                    let what = format!("headers {number} {body}");
                    shots.push(self.shot(&path, &what, Sender::Refused, request));
                }
            }
        }
        shots
    }

    fn prefetch(&self) -> Vec<Shot> {
        let mut shots = Vec::new();
        for path in self.targets().into_iter().map(|target| target.path).chain(self.unused_door()) {
            for (name, value) in PREFETCHES {
                let request = self.request("GET", &path).header(name, value);
                let request = request.header("cookie", self.victims_cookies());
                shots.push(self.shot(&path, &format!("{name}: {value}"), Sender::VictimsBrowser, request));
            }
        }
        shots
    }

    fn other_methods(&self) -> Vec<Shot> {
        let taken: Vec<&str> =
            ROUTES.iter().filter(|route| route.path == self.route.path).map(|route| route.method).collect();
        let mut shots = Vec::new();
        // Which object it is about changes nothing of that.
        for Target { path, .. } in self.targets().into_iter().take(1) {
            for method in METHODS.into_iter().filter(|method| !taken.contains(method)) {
                let browser = self.request(method, &path).header("cookie", self.victims_cookies());
                shots.push(self.shot(&path, method, Sender::VictimsBrowser, browser));
                let attacker = self.request(method, &path).header("authorization", self.other_key());
                shots.push(self.shot(&path, method, Sender::Refused, attacker));
            }
            let method = self.route.method;
            for name in ["x-http-method-override", "x-method-override", "x-http-method"] {
                let other = if method == "GET" { "POST" } else { "DELETE" };
                let request = from_own_page(self.request(method, &path), self.scene.origin());
                let request = request.header(name, other).header("authorization", self.other_key());
                shots.push(self.shot(&path, &format!("{name}: {other}"), Sender::Attacker, request));
            }
        }
        shots
    }

    /// Pages get them from the attacker; a call of the API from the product itself, which put a text of the attacker's
    /// into its request without escaping it.
    fn parameters(&self, repeated: bool) -> Vec<Shot> {
        let known = declared(self.route);
        let mut shots = Vec::new();
        for Target { path, link } in self.targets() {
            let mark = if path.contains('?') { '&' } else { '?' };
            let queries: Vec<String> = if repeated {
                let names = if known.is_empty() { &["state", "code", "receipt"][..] } else { known };
                names.iter().map(|name| format!("{name}=1&{name}=2")).collect()
            } else {
                let url = "https://evil.example/";
                ["return_to", "redirect_uri", "customer_id", "product", "user", "key"]
                    .iter()
                    .filter(|name| !known.contains(name))
                    .map(|name| format!("{name}={url}"))
                    .collect()
            };
            for query in &queries {
                let to = format!("{path}{mark}{query}");
                if self.route.is_api() {
                    let request = self.product(&to).body(self.json());
                    shots.push(self.shot(&to, "", Sender::CarelessProduct, request));
                } else {
                    for body in self.forms() {
                        let request = self.own_page(&to, body);
                        shots.push(self.shot(&to, link.name, Sender::Attacker, request));
                    }
                }
            }
            if self.route.takes_json {
                for member in self.members() {
                    let body = if repeated {
                        format!(r#"{{"{member}":"1","{member}":"2"}}"#)
                    } else {
                        format!(r#"{{"{member}s":"1"}}"#)
                    };
                    let request = self.product(&path).body(body.clone());
                    shots.push(self.shot(&path, &body, Sender::CarelessProduct, request));
                }
            } else if self.route.method == "POST" && !self.route.is_api() {
                let body = if repeated {
                    "confirm=yes&confirm=no&host=production&host=sandbox&seen=other&seen=raw_text"
                } else {
                    "return_to=https://evil.example/&receipt=1&user=u-mallory"
                };
                shots.push(self.shot(&path, body, Sender::Attacker, self.own_page(&path, body)));
            }
        }
        shots
    }

    fn other_products_key(&self) -> Vec<Shot> {
        let mut shots = Vec::new();
        for Target { path, .. } in self.targets() {
            for body in self.bodies() {
                let request =
                    self.request(self.route.method, &path).header("authorization", self.other_key());
                let request = request.header("content-type", "application/json").body(body.clone());
                shots.push(self.shot(&path, &body, Sender::Attacker, request));
            }
        }
        shots
    }

    fn forged_key(&self) -> Vec<Shot> {
        let mut shots = Vec::new();
        let Some(Target { path, .. }) = self.targets().into_iter().next() else { return shots };
        let body = self.bodies().pop().unwrap_or_default();
        let request = || {
            let request = self.request(self.route.method, &path).header("content-type", "application/json");
            request.header("cookie", self.victims_cookies()).body(body.clone())
        };
        shots.push(self.shot(&path, "no key", Sender::Refused, request()));
        for (number, key) in self.scene.attacker.forged_keys("fernway").into_iter().enumerate() {
            let schemes: &[&str] =
                if number == 0 { &["Bearer", "Basic", "bearer Bearer"] } else { &["Bearer"] };
            for scheme in schemes {
                let request = request().header("authorization", format!("{scheme} {key}"));
                shots.push(self.shot(&path, &format!("{scheme} {number}"), Sender::Refused, request));
            }
        }
        let two =
            request().header("authorization", self.other_key()).header("authorization", self.other_key());
        shots.push(self.shot(&path, "two keys", Sender::Refused, two));
        shots
    }

    fn replay(&self) -> Vec<Shot> {
        let scene = self.scene;
        match self.route.path {
            "/oauth/callback" => {
                let visited = scene.again.alice.history();
                let answers = visited.iter().filter(|url| url.path() == "/oauth/callback");
                let answers: Vec<String> = answers
                    .map(|url| format!("{}?{}", url.path(), url.query().unwrap_or_default()))
                    .collect();
                assert!(answers.len() >= 2, "one is redeemed, one is on its way: {}", answers.len());
                let shot = |path: &String| {
                    let request = self.request("GET", path);
                    let request = request.header("cookie", scene.attacker.own_cookies(scene.origin()));
                    self.shot(path, "in another browser", Sender::Refused, request)
                };
                answers.iter().map(shot).collect()
            }
            "/ops/sign-in/{key}" => {
                let path = format!("/ops/sign-in/{}", scene.attacker.holds.ops_links[0]);
                let request = self.own_page(&path, "");
                vec![self.shot(&path, "a used link", Sender::Refused, request)]
            }
            _ => {
                let visited = scene.again.alice.history();
                let back = visited.iter().find(|url| url.path() == "/salesforce/return").expect("a return");
                let receipt = crate::attacker::scene::part(back, "receipt");
                let path =
                    self.route.path.replace("{id}", &crate::attacker::scene::part(back, "connect_session"));
                let body = format!(r#"{{"receipt":"{receipt}","user":"u-mallory"}}"#);
                let by_product = self.product(&path).body(body.clone());
                let by_other =
                    self.request("POST", &path).header("authorization", self.other_key()).body(body);
                vec![
                    self.shot(&path, "by another user", Sender::CarelessProduct, by_product),
                    self.shot(&path, "by another product", Sender::Refused, by_other),
                ]
            }
        }
    }

    fn own_answer(&self) -> Vec<Shot> {
        let answer = &self.scene.own_answer;
        let path = format!("{}?{}", answer.path(), answer.query().expect("a query"));
        let request = self.request("GET", &path).header("cookie", self.victims_cookies());
        vec![self.shot(&path, "in the victim's browser", Sender::Refused, request)]
    }

    fn decide_for_victim(&self) -> Vec<Shot> {
        let link = self.scene.link("parked");
        let path = self.route.path.replace("{key}", &link.key);
        let mut cookies = self.scene.attacker.forged_cookies(link);
        // Together with what is good for an attempt of the attacker's own.
        let own = self.scene.attacker.own_cookies(self.scene.origin());
        cookies.extend(cookies.clone().into_iter().map(|forged| format!("{own}; {forged}")));
        let mut shots = Vec::new();
        for cookies in cookies {
            for body in self.forms() {
                let request = self.own_page(&path, body).header("cookie", &cookies);
                shots.push(self.shot(&path, body, Sender::Refused, request));
            }
        }
        shots
    }

    pub(crate) fn shot(&self, path: &str, what: &str, sender: Sender, request: RawRequest) -> Shot {
        let what = format!("{:?}: {} {path} {what}", self.attack, self.route.method);
        Shot { what, path: path.to_owned(), sender, request }
    }

    fn request(&self, method: &str, path: &str) -> RawRequest {
        let host = self.scene.origin().trim_start_matches("http://");
        RawRequest::new(method, path).header("host", host)
    }

    fn form(&self, path: &str, body: &str) -> RawRequest {
        let request = self.request(self.route.method, path);
        if self.route.method != "POST" {
            return request;
        }
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    pub(crate) fn own_page(&self, path: &str, body: &str) -> RawRequest {
        from_own_page(self.form(path, body), self.scene.origin())
    }

    /// A call of the victims' own product.
    fn product(&self, path: &str) -> RawRequest {
        let key = self.scene.story().stack.api_key("fernway").expose();
        let request = self.request(self.route.method, path);
        request.header("authorization", format!("Bearer {key}")).header("content-type", "application/json")
    }

    fn other_key(&self) -> String {
        format!("Bearer {}", self.scene.attacker.holds.api_key)
    }

    fn victims_cookies(&self) -> String {
        self.scene.victims_cookies().join("; ")
    }

    /// A link that signs in whoever holds it is not sent by the attacker: they may.
    fn unused_door(&self) -> Option<String> {
        (self.route.path == "/ops/sign-in/{key}")
            .then(|| self.route.path.replace("{key}", &self.scene.attacker.holds.ops_links[1]))
    }

    /// Every path of the route that the attacker knows.
    pub(crate) fn targets(&self) -> Vec<Target<'_>> {
        let holds = &self.scene.attacker.holds;
        let any = self.scene.link("away");
        let path = self.route.path;
        let with = |name: &str, values: &[String]| {
            values.iter().map(|value| Target { path: path.replace(name, value), link: any }).collect()
        };
        match path {
            "/oauth/callback" => {
                let held = |answer: &String| Target { path: answer.clone(), link: any };
                holds.answers.iter().map(held).collect()
            }
            "/ops/sign-in/{key}" => with("{key}", &holds.ops_links[..1]),
            "/ops/endpoints/{endpoint}" => with("{endpoint}", &["backend".to_owned()]),
            // Anybody who knows a customer's id can make its digest.
            "/ops/customers/{customer}" => {
                with("{customer}", &[domain::secret::Hash::of("c-acme").as_str().to_owned()])
            }
            _ if path.starts_with("/guides/{product}/{app}") => {
                vec![Target { path: path.replace("{product}/{app}", "fernway/insights"), link: any }]
            }
            _ if path.starts_with("/connect/{key}") => {
                let links = holds.links.iter();
                links.map(|link| Target { path: path.replace("{key}", &link.key), link }).collect()
            }
            _ if path.starts_with("/v1/connect-sessions/{id}") => {
                let links = holds.links.iter();
                links.map(|link| Target { path: path.replace("{id}", &link.session), link }).collect()
            }
            _ if path.starts_with("/v1/connections/{id}") => with("{id}", &holds.connections),
            _ if path.starts_with("/v1/events/{id}") => with("{id}", &holds.events),
            _ if path.starts_with("/help/{id}") => with("{id}", &holds.help),
            _ if path.contains('{') => panic!("{path}: say what the attacker puts there"),
            _ => vec![Target { path: path.to_owned(), link: any }],
        }
    }
}

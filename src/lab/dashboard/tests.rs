//! The dashboard as a browser meets it, without a socket.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::body::to_bytes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt;
use proptest::prelude::*;
use serde_json::json;
use time::macros::utc_datetime;

use super::*;
use crate::host::entropy::SystemEntropy;
use crate::keys::PublicKey;
use crate::lab::clock::{ClockSetting, LabClock};
use crate::lab::faults::{Effect, Fault};
use crate::lab::ledger::{Entry, Outcome};
use crate::lab::nodes::{Information, Node, Ping};
use crate::lab::operation::Operation;
use crate::lab::tags::Tags;

const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Somebody's public key, which nothing is verified with here.
const PUBLIC_KEY: &str = "\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmKSr0NuBzG3SjufMc3ZJIJedHvYomc7lFK5/syp9Eh4G\
    Mnfm2IcllevYtbxaZjkLPqNNlBI6VYaFPzhJypuOC0aVc5nd7m4djaXQ1k/ounBNliD7LcJmH5/pQLY22zqcreNm\
    4r5BNgnGrHmrgqktD9OXbtkF2wZotlow55i75GQu7iDv2ZLw3ZPX9XaaYHfs2ikvrgYdivBUZnBz+nlCXoE3SAbq\
    913qawZwiYxfErxI5joVYG8tSGkXi23s3QqurlC6UsVMJpppFipN/ga2qga8YZj+feu9RsqmhjHWjfl+ZmiV1mZx\
    SOFCWFjNqYRr7OCTYu4UdFaOt/APqxJRAwIDAQAB";

fn dashboard() -> Dashboard {
    let region = "us-east-1".parse().unwrap();
    let service = Service::new(region, Duration::from_secs(3600), &SystemEntropy);
    let service = Arc::new(Mutex::new(service));
    let address = "127.0.0.1:4599".parse().unwrap();
    Dashboard::new(service, &Greeting::Plain, address, &SystemEntropy)
}

/// With the token and a name of this machine's.
fn request(dashboard: &Dashboard, method: &str, path: &str, body: &str) -> Request {
    Request {
        method: method.into(),
        path: path.into(),
        query: format!("token={}", dashboard.0.gate.token()),
        headers: vec![("Host".into(), "127.0.0.1:4599".into())],
        body: body.into(),
        ..Request::default()
    }
}

fn answer(dashboard: &Dashboard, request: &Request) -> Response {
    dashboard.answer(request, HERE, &SystemEntropy, NOW).expect("a request for the dashboard")
}

async fn text(response: Response) -> String {
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(body.into()).unwrap()
}

/// The page as it is now.
async fn page_of(dashboard: &Dashboard) -> String {
    text(answer(dashboard, &request(dashboard, "GET", PAGE, ""))).await
}

/// A node that registered so many seconds after [`NOW`], with a key of its own.
fn node(number: u32) -> Node {
    let id = format!("mi-{number:017x}");
    // Another number is another key, as far as telling them apart goes.
    let mut der = BASE64_STANDARD.decode(PUBLIC_KEY).unwrap();
    der[100..104].copy_from_slice(&number.to_be_bytes());
    Node {
        id: id.parse().unwrap(),
        fingerprint: "f".into(),
        public_key: PublicKey::decode(&BASE64_STANDARD.encode(der)).unwrap(),
        key_changes: 0,
        asked_for_new_key: false,
        activation_id: "a".into(),
        iam_role: "SSMServiceRole".into(),
        name: None,
        tags: Tags::default(),
        registered_at: NOW + Duration::from_secs(number.into()),
        last_ping: None,
    }
}

#[test]
fn what_is_for_aws_is_left_alone() {
    let dashboard = dashboard();
    let is_ours =
        |request: &Request| dashboard.answer(request, HERE, &SystemEntropy, NOW).is_some();
    assert!(is_ours(&request(&dashboard, "GET", "/", "")));
    assert!(is_ours(&request(&dashboard, "HEAD", "/", "")));
    assert!(is_ours(&request(&dashboard, "GET", "/dashboard/style.css", "")));
    assert!(!is_ours(&request(&dashboard, "POST", "/", "")));
    assert!(!is_ours(&request(&dashboard, "GET", "/bucket", "")));
    for path in ["/", "/dashboard/", "/dashboard/events"] {
        let mut signed = request(&dashboard, "GET", path, "");
        signed.headers.push(("authorization".into(), "AWS4-HMAC-SHA256 …".into()));
        assert!(!is_ours(&signed), "{path}");
    }
}

#[tokio::test]
async fn without_the_token_there_is_nothing_to_see_or_do() {
    let dashboard = dashboard();
    for (method, path) in [
        ("GET", PAGE),
        ("HEAD", PAGE),
        ("GET", EVENTS),
        ("POST", wish::ACTIVATIONS),
        ("POST", wish::NODES),
        ("GET", "/dashboard/elsewhere"),
    ] {
        let asked = request(&dashboard, method, path, "role=Role");
        let asked = Request { query: "token=0123".into(), ..asked };
        let response = answer(&dashboard, &asked);
        assert_eq!(response.status(), 403, "{method} {path}");
        assert!(text(response).await.contains("rolekeeper-lab serve"));
    }
    let with = |headers: &[(&str, &str)], peer| {
        let mut asked = request(&dashboard, "POST", wish::ACTIVATIONS, "role=Role");
        for (name, value) in headers {
            asked.headers.retain(|(sent, _)| sent != name);
            asked.headers.push(((*name).into(), (*value).into()));
        }
        dashboard.answer(&asked, peer, &SystemEntropy, NOW).unwrap().status()
    };
    assert_eq!(with(&[("Host", "rebound.example")], HERE), 403);
    assert_eq!(with(&[("Origin", "http://elsewhere.example")], HERE), 403);
    assert_eq!(with(&[("Sec-Fetch-Site", "cross-site")], HERE), 403);
    assert_eq!(with(&[], IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))), 403);
    assert_eq!(lock(&dashboard.0.service).activations.count().unwrap(), 0);
    assert_eq!(with(&[("Sec-Fetch-Site", "same-origin"), ("Origin", "null")], HERE), 303);
    assert_eq!(lock(&dashboard.0.service).activations.count().unwrap(), 1);
}

#[tokio::test]
async fn every_answer_takes_the_precautions() {
    let dashboard = dashboard();
    for (method, path, status) in [
        ("GET", PAGE, 200),
        ("GET", EVENTS, 200),
        ("GET", STYLE, 200),
        ("GET", SCRIPT, 200),
        ("GET", ICON, 200),
        ("GET", "/dashboard/elsewhere", 404),
        ("POST", "/dashboard/elsewhere", 404),
        ("POST", wish::FAULTS_CLEARED, 303),
        ("POST", wish::FAULTS, 400),
    ] {
        let response = answer(&dashboard, &request(&dashboard, method, path, ""));
        assert_eq!(response.status(), status, "{method} {path}");
        for (name, value) in PRECAUTIONS {
            assert_eq!(response.headers().get(name).unwrap(), value, "{method} {path}");
        }
    }
    let page = page_of(&dashboard).await;
    assert!(!page.contains("style=") && !page.contains(" onclick"));
    assert_eq!(page.matches("<script").count(), 1);
}

#[tokio::test]
async fn an_activation_code_is_shown_once() {
    let dashboard = dashboard();
    let form = request(&dashboard, "POST", wish::ACTIVATIONS, "role=Role&name=&limit=2");
    let made = answer(&dashboard, &form);
    let location = made.headers()["location"].to_str().unwrap().to_owned();
    let query = location.split_once('?').unwrap().1.to_owned();
    let id = query.split_once("created=").unwrap().1.to_owned();
    let look = Request { query, ..request(&dashboard, "GET", PAGE, "") };
    let head = Request { method: "HEAD".into(), ..look.clone() };
    assert!(!text(answer(&dashboard, &head)).await.contains("sudo"));
    let shown = text(answer(&dashboard, &look)).await;
    let code = shown.split_once("echo ").unwrap().1.split(' ').next().unwrap();
    assert_eq!(code.len(), 20);
    let command = format!(
        "echo {code} | sudo rolekeeper register --region us-east-1 --activation-id {id} \
         --activation-code-file - --endpoint-url http://127.0.0.1:4599"
    );
    assert!(shown.contains(&command), "{shown}");
    let again = text(answer(&dashboard, &look)).await;
    assert!(again.contains("shown already") && !again.contains(code));
    assert!(!page_of(&dashboard).await.contains(code));
}

#[tokio::test]
async fn no_secret_is_on_the_page() {
    let dashboard = dashboard();
    let token = {
        let mut service = lock(&dashboard.0.service);
        let node = node(1);
        service.nodes.insert(&node).unwrap();
        let life = service.token_lifetime;
        service.tokens.issue(&node, life, &SystemEntropy, NOW).unwrap()
    };
    let page = page_of(&dashboard).await;
    assert!(page.contains(token["AccessKeyId"].as_str().unwrap()));
    for secret in ["SecretAccessKey", "SessionToken"] {
        assert!(!page.contains(token[secret].as_str().unwrap()), "{secret}");
    }
    let admin = lock(&dashboard.0.service).admin().clone();
    assert!(!page.contains(admin.secret_access_key.expose().as_str()));
}

#[tokio::test]
async fn a_refused_wish_is_told_on_the_page() {
    let dashboard = dashboard();
    let form = request(&dashboard, "POST", wish::ACTIVATIONS, "role=a+b");
    let response = answer(&dashboard, &form);
    assert_eq!(response.status(), 400);
    let page = text(response).await;
    assert!(page.contains("ValidationException") && page.contains("IamRole must be"), "{page}");
    let broken = Request { body: vec![0xff], ..form };
    assert_eq!(answer(&dashboard, &broken).status(), 404);
}

#[tokio::test]
async fn a_row_turns_with_a_fault_and_with_a_failure() {
    let dashboard = dashboard();
    let node = node(1);
    let row = |page: &str| {
        let row = page.split_once("<tr id=\"node-").unwrap().1;
        row.split_once("</tr>").unwrap().0.to_owned()
    };
    {
        let mut service = lock(&dashboard.0.service);
        service.nodes.insert(&node).unwrap();
    }
    let bare = row(&page_of(&dashboard).await);
    assert!(bare.contains("no token") && bare.contains("never"), "{bare}");
    {
        let mut service = lock(&dashboard.0.service);
        let life = service.token_lifetime;
        service.tokens.issue(&node, life / 2, &SystemEntropy, NOW).unwrap();
    }
    let fresh = row(&page_of(&dashboard).await);
    assert!(fresh.contains("fresh") && fresh.contains("30 min 00 s"), "{fresh}");
    let form = format!("node={}&do=break", node.id.as_str());
    let pressed = request(&dashboard, "POST", wish::NODES, &form);
    assert_eq!(answer(&dashboard, &pressed).status(), 303);
    let faulted = row(&page_of(&dashboard).await);
    assert!(faulted.contains("fault set") && faulted.contains("status 500"), "{faulted}");
    assert!(faulted.contains("value=\"mend\"") && !faulted.contains("value=\"break\""));
    let entry = |outcome| Entry {
        at: NOW,
        operation: Some(Operation::RequestManagedInstanceRoleToken),
        node: Some(node.id.clone()),
        outcome,
    };
    lock(&dashboard.0.service).ledger.record(entry(Outcome::Disturbed("status")));
    assert!(row(&page_of(&dashboard).await).contains("failing"));
    lock(&dashboard.0.service).ledger.record(entry(Outcome::Done));
    let form = format!("node={}&do=mend", node.id.as_str());
    answer(&dashboard, &request(&dashboard, "POST", wish::NODES, &form));
    assert!(row(&page_of(&dashboard).await).contains("fresh"));
}

#[tokio::test]
async fn lives_are_counted_by_the_labs_clock() {
    let dashboard = dashboard();
    {
        let mut service = lock(&dashboard.0.service);
        service.clock = LabClock::default();
        let (node, life) = (node(1), service.token_lifetime);
        service.nodes.insert(&node).unwrap();
        let at = service.clock.now(NOW);
        service.tokens.issue(&node, life, &SystemEntropy, at).unwrap();
        service.set_clock(&ClockSetting::Forward("20m".into()), NOW).unwrap();
        service.set_clock(&ClockSetting::Rate(60), NOW).unwrap();
    }
    let page = page_of(&dashboard).await;
    assert!(page.contains("40 min 00 s") && page.contains("60 times as fast"), "{page}");
    let now = marks::epoch_millis(NOW + Duration::from_secs(20 * 60));
    assert!(page.contains(&format!("data-now=\"{now}\" data-rate=\"60\"")), "{page}");
}

#[tokio::test]
async fn many_nodes_make_no_long_page_and_none_in_trouble_is_left_out() {
    let dashboard = dashboard();
    let first = node(1);
    {
        let mut service = lock(&dashboard.0.service);
        service.nodes.insert(&first).unwrap();
        for number in 2..=200 {
            service.nodes.insert(&node(number)).unwrap();
        }
        let outcome = Outcome::Refused("InvalidInstanceId".into());
        let operation = Some(Operation::UpdateInstanceInformation);
        let node = Some(first.id.clone());
        service.ledger.record(Entry { at: NOW, operation, node, outcome });
    }
    let page = page_of(&dashboard).await;
    assert_eq!(page.matches("<tr id=\"node-").count(), 50);
    assert!(page.contains("and 150 more"));
    assert!(page.contains(&format!("<tr id=\"node-{}\" class=\"bad\"", first.id.as_str())));
}

#[tokio::test]
async fn watchers_get_everything_at_first_and_then_what_changed() {
    let dashboard = dashboard();
    let mut stream =
        answer(&dashboard, &request(&dashboard, "GET", EVENTS, "")).into_body().into_data_stream();
    let mut next = async || {
        let bytes = stream.next().await.unwrap().unwrap();
        String::from_utf8(bytes.into()).unwrap()
    };
    let first = next().await;
    for section in sections::Section::ALL {
        let id = section.id();
        let event = format!("event: {id}\ndata: <");
        assert!(first.contains(&event), "{id}");
    }
    let fault = Fault::always(Effect::Hang);
    lock(&dashboard.0.service).faults.add(fault).unwrap();
    dashboard.changed();
    let second = next().await;
    assert!(second.contains("event: faults\n") && second.contains("no answer, ever"), "{second}");
    assert!(!second.contains("event: activations\n"), "{second}");
}

#[test]
fn only_so_many_may_watch_at_once() {
    let dashboard = dashboard();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let watch = || answer(&dashboard, &request(&dashboard, "GET", EVENTS, ""));
    let mut watchers = (0..MOST_WATCHERS).map(|_| watch()).collect::<Vec<_>>();
    assert!(watchers.iter().all(|watcher| watcher.status() == 200));
    assert_eq!(watch().status(), 503);
    watchers.pop();
    assert_eq!(watch().status(), 200);
}

#[tokio::test]
async fn an_activation_that_is_used_up_looks_it() {
    let dashboard = dashboard();
    let element = |page: &str| {
        let from = page.find("<li id=\"activation-").unwrap();
        page[from..].split("</li>").next().unwrap().to_owned()
    };
    let used = |registrations: u32| {
        let mut service = lock(&dashboard.0.service);
        let limited = json!({ "IamRole": "Role", "RegistrationLimit": 1 });
        let create = serde_json::from_value(limited).unwrap();
        let answer = service.activations.create(create, &SystemEntropy, NOW).unwrap();
        let id = answer["ActivationId"].as_str().unwrap();
        for _ in 0..registrations {
            service.activations.count_registration(id).unwrap();
        }
        let snapshot = survey(&mut service, NOW).unwrap();
        let id = id.to_owned();
        service
            .activations
            .delete(serde_json::from_value(json!({ "ActivationId": id })).unwrap())
            .unwrap();
        let place = Place { endpoint_url: "http://127.0.0.1:4599", region: "us-east-1" };
        element(&page(&snapshot, place, Actions { token: "t" }, None).into_string())
    };
    let open = used(0);
    assert!(open.contains("open") && open.contains("class=\"left\""), "{open}");
    let spent = used(1);
    assert!(spent.contains("used up"), "{spent}");
    assert!(!spent.contains("class=\"left\"") && !spent.contains("good"), "{spent}");
}

#[tokio::test]
async fn nodes_of_one_name_are_told_apart_by_their_ids() {
    let dashboard = dashboard();
    for (number, name) in [(0xa1, "web"), (0xb2, "web"), (0xc3, "db")] {
        let node = Node { name: Some(name.into()), ..node(number) };
        lock(&dashboard.0.service).nodes.insert(&node).unwrap();
    }
    let page = page_of(&dashboard).await;
    let name_of = |end: &str| {
        let row = page.split(&format!("{end}\" class=")).nth(1).unwrap();
        let name = row.split("<div class=\"name\">").nth(1).unwrap();
        name.split("</div>").next().unwrap().to_owned()
    };
    assert!(name_of("00a1").contains("…00a1"), "{}", name_of("00a1"));
    assert!(name_of("00b2").contains("…00b2"), "{}", name_of("00b2"));
    assert_eq!(name_of("00c3"), "db");
}

/// Everything that could be markup, in its order.
fn structure(html: &str) -> String {
    html.chars().filter(|c| "<>\"'\n\r".contains(*c)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_node_says_changes_no_markup(
        name in "\\PC{0,80}|.{0,80}|[<>&\"'/ a-z=\\r\\n]{1,40}",
        platform in "[<>&\"' a-z\\r\\n\u{202e}]{1,20}",
        code in "[<>&\"'A-Za-z]{1,20}",
    ) {
        let shown = |name: &str, platform: &str, code: &str| {
            let dashboard = dashboard();
            let said = Information {
                computer_name: Some(name.into()),
                platform_name: Some(platform.into()),
                ..Information::default()
            };
            let mut node = node(1);
            node.last_ping = Some(Ping { at: NOW, said });
            node.iam_role = format!("role/{platform}");
            let mut service = lock(&dashboard.0.service);
            service.nodes.insert(&node).unwrap();
            let create = serde_json::from_value(json!({ "IamRole": "Role" })).unwrap();
            service.activations.create(create, &SystemEntropy, NOW).unwrap();
            let operation = Some(Operation::UpdateInstanceInformation);
            let outcome = Outcome::Refused(code.into());
            let node = Some(node.id);
            service.ledger.record(Entry { at: NOW, operation, node, outcome });
            let snapshot = survey(&mut service, NOW).unwrap();
            let actions = Actions { token: "t" };
            let place = Place { endpoint_url: "http://127.0.0.1:4599", region: "us-east-1" };
            page(&snapshot, place, actions, None).into_string()
        };
        let (hostile, harmless) = (shown(&name, &platform, &code), shown("n", "p", "C"));
        prop_assert_eq!(structure(&hostile).replace('\'', ""), structure(&harmless).replace('\'', ""));
        let misleading = ['\u{202e}', '\r', '\n'];
        prop_assert!(!hostile.contains(misleading), "{}", hostile);
    }
}

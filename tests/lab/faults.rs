//! What each fault looks like to a client.

use super::roles::{backup, node, start_with_roles, trusting};
use super::*;

fn disturb(lab: &Lab, effect: Effect) {
    let fault = Fault::always(effect).times(1);
    lab.with_service(|service| service.faults.add(fault)).unwrap();
}

/// The moment of the answer's `Date`, whose letters the head has in lower case.
fn date(answer: &Answer) -> UtcDateTime {
    let format = time::macros::format_description!(
        "[weekday repr:short case_sensitive:false], [day] [month repr:short case_sensitive:false] \
         [year] [hour]:[minute]:[second] gmt"
    );
    let date = answer.head.lines().find_map(|line| line.strip_prefix("date: ")).unwrap();
    UtcDateTime::parse(date, format).unwrap()
}

#[tokio::test]
async fn faults_of_status_and_html_answer_in_the_services_place() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    let throttled = Effect::Status { status: 400, code: Some("ThrottlingException".to_owned()) };
    lab.with_service(|service| {
        service.faults.add(Fault::always(throttled).times(1)).unwrap();
        service.faults.add(Fault::always(Effect::Html { status: 502 }).times(1)).unwrap();
    });
    let answer = machine.token(&lab).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "ThrottlingException"));
    let answer = machine.token(&lab).await;
    assert_eq!(answer.status, 502);
    assert!(answer.head.contains("content-type: text/html"), "{}", answer.head);
    assert_eq!(machine.token(&lab).await.status, 200);
}

#[tokio::test]
async fn a_reset_reaches_the_connection() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    let reset = Fault::always(Effect::Reset).times(1);
    lab.with_service(|service| service.faults.add(reset).unwrap());
    let request = machine.token_request(&lab, SystemClock.now());
    let error = raw_exchange(lab.address(), request.as_bytes()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(machine.token(&lab).await.status, 200);
}

#[tokio::test]
async fn a_torn_body_is_shorter_than_its_head_says() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    let torn = Fault::always(Effect::TornBody).times(1);
    lab.with_service(|service| service.faults.add(torn).unwrap());
    let answer = machine.token(&lab).await;
    let length = answer
        .head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse::<usize>().ok());
    assert_eq!(answer.status, 200);
    assert!(!answer.body.is_empty() && answer.body.len() < length.unwrap());
}

#[tokio::test]
async fn a_short_latency_answers_and_a_long_one_keeps_waiting() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    let latency = |span| Fault::always(Effect::Latency(span)).times(1);
    lab.with_service(|service| service.faults.add(latency(Duration::from_millis(1))).unwrap());
    assert_eq!(machine.token(&lab).await.status, 200);
    lab.with_service(|service| service.faults.add(latency(Duration::from_secs(86_400))).unwrap());
    left_without_answer(lab, &machine).await;
}

#[tokio::test]
async fn a_hang_never_answers() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    lab.with_service(|service| service.faults.add(Fault::always(Effect::Hang).times(1)).unwrap());
    left_without_answer(lab, &machine).await;
}

/// A request is met by the one fault that stands; another is answered meanwhile; the lab stops; and
/// the first has received nothing.
async fn left_without_answer(lab: Lab, machine: &Machine) {
    let request = machine.token_request(&lab, SystemClock.now());
    let address = lab.address();
    let waiting = tokio::spawn(async move { raw_exchange(address, request.as_bytes()).await });
    while lab.with_service(|service| !service.faults.list(SystemClock.now()).is_empty()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(machine.token(&lab).await.status, 200);
    lab.shutdown().await;
    let received = waiting.await.unwrap().unwrap_or_default();
    assert!(received.is_empty(), "{}", String::from_utf8_lossy(&received));
}

#[tokio::test]
async fn a_faults_status_reaches_the_sdk_as_its_error() {
    let lab = start().await;
    let effect = Effect::Status { status: 503, code: None };
    lab.with_service(|service| service.faults.add(Fault::always(effect).times(1)).unwrap());
    let error = ssm(&lab).describe_activations().send().await.unwrap_err();
    assert_eq!(error.raw_response().map(|response| response.status().as_u16()), Some(503));
    assert_eq!(error.code(), Some("ServiceUnavailableException"));
}

#[tokio::test]
async fn an_answer_of_no_json_or_of_the_wrong_shape_is_an_error_to_the_sdk() {
    let lab = start().await;
    ssm(&lab).create_activation().iam_role("Spare").send().await.unwrap();
    for effect in [Effect::WrongJson, Effect::WrongShape] {
        disturb(&lab, effect.clone());
        let error = ssm(&lab).describe_activations().send().await.unwrap_err();
        let response = error.raw_response().unwrap();
        let whole = response.headers().get("content-length").unwrap().parse::<usize>().unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.body().bytes().unwrap().len(), whole, "{effect:?} arrives whole");
    }
    ssm(&lab).describe_activations().send().await.unwrap();
}

#[tokio::test]
async fn a_missing_member_is_missing_and_the_others_are_there() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    disturb(&lab, Effect::MissingMember("UpdateKeyPair".to_owned()));
    let token = machine.token(&lab).await.json();
    assert_eq!(token.get("UpdateKeyPair"), None);
    assert_eq!(token.as_object().unwrap().len(), 4);
    sts(&lab, issued(&token)).get_caller_identity().send().await.unwrap();
}

#[tokio::test]
async fn a_skewed_date_is_off_and_nothing_else_is() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    disturb(&lab, Effect::SkewedDate(time::Duration::hours(-2)));
    let (skewed, right) = (machine.token(&lab).await, machine.token(&lab).await);
    let difference = date(&right) - date(&skewed);
    assert!(difference >= time::Duration::hours(2) && difference < time::Duration::hours(3));
    assert_eq!((skewed.status, right.status), (200, 200));
    assert_eq!(skewed.head.matches("\r\ndate: ").count(), 1, "{}", skewed.head);
}

#[tokio::test]
async fn a_skewed_expiry_is_what_is_said_and_not_what_counts() {
    let lab = start_with_roles(trusting(&json!(roles::NODE_ROLE))).await;
    let (machine, client) = node(&lab).await;
    disturb(&lab, Effect::SkewedExpiry(time::Duration::hours(-2)));
    let token = machine.token(&lab).await.json();
    let now = SystemClock.now().unix_timestamp();
    assert!(token["TokenExpirationDate"].as_f64().unwrap() < now as f64);
    sts(&lab, issued(&token)).get_caller_identity().send().await.unwrap();

    disturb(&lab, Effect::SkewedExpiry(time::Duration::hours(12)));
    let assumed = backup(&client).send().await.unwrap();
    let said = assumed.credentials().unwrap().expiration().secs();
    assert!(said > now + 12 * 3600, "{said}");
}

#[tokio::test]
async fn an_instances_credentials_can_be_said_to_be_dead() {
    let lab = start().await;
    let fault = Fault::always(Effect::SkewedExpiry(time::Duration::hours(-7)));
    lab.with_service(|service| service.faults.add(fault)).unwrap();
    let document: Value = serde_json::from_str(&ec2::told(&lab, ec2::IDENTITY).await).unwrap();
    let said = document["Expiration"].as_str().unwrap();
    let said = UtcDateTime::parse(said, &time::format_description::well_known::Rfc3339).unwrap();
    assert!(said < SystemClock.now(), "{said}");
    assert_eq!(document["Code"], "Success");
}

#[tokio::test]
async fn a_refused_signature_has_each_services_own_words() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    disturb(&lab, Effect::SignatureRefusal);
    let answer = machine.token(&lab).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidSignatureException"));
    assert!(answer.body.contains("The Canonical String for this request should have been"));
    disturb(&lab, Effect::SignatureRefusal);
    let error = sts(&lab, admin(&lab)).get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.code(), Some("SignatureDoesNotMatch"));
    assert_eq!(machine.token(&lab).await.status, 200);
}

#[tokio::test]
async fn a_node_is_asked_for_a_new_key_until_it_has_changed() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    disturb(&lab, Effect::UpdateKeyPair);
    // Neither the administrator nor STS can be asked for a key.
    ssm(&lab).describe_activations().send().await.unwrap();
    for _ in 0..2 {
        assert_eq!(machine.token(&lab).await.json()["UpdateKeyPair"], true);
    }
}

#[tokio::test]
async fn a_deregistered_node_hears_what_the_service_says_to_one() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    disturb(&lab, Effect::Deregistration);
    for _ in 0..2 {
        let answer = machine.token(&lab).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidInstanceId"));
    }
    let nodes = ssm(&lab).describe_instance_information().send().await.unwrap();
    assert!(nodes.instance_information_list().is_empty());
}

#[tokio::test]
async fn refused_connections_are_refused_until_the_fault_is_gone() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    let mut idle = TcpStream::connect(lab.address()).await.unwrap();
    assert_eq!(machine.token(&lab).await.status, 200);
    let away = Fault::always(Effect::RefusedConnection);
    lab.with_service(|service| service.faults.add(away)).unwrap();
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).await.unwrap_or(0), 0, "an idle connection ends");
    let refused = TcpStream::connect(lab.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    lab.with_service(|service| service.faults.clear());
    while TcpStream::connect(lab.address()).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(machine.token(&lab).await.status, 200);
}

#[tokio::test]
async fn a_request_that_is_in_the_lab_is_answered_although_it_leaves() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    let request = machine.token_request(&lab, SystemClock.now());
    let (head, last) = request.split_at(request.len() - 5);
    let mut stream = TcpStream::connect(lab.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // Answered means that the lab has accepted, and read, what came before.
    assert_eq!(machine.token(&lab).await.status, 200);
    let away = Fault::always(Effect::RefusedConnection);
    lab.with_service(|service| service.faults.add(away)).unwrap();
    while TcpStream::connect(lab.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(last.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

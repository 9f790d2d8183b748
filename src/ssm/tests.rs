//! What answers say about the time, over a real socket and by a clock that the test moves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use time::macros::{format_description, utc_datetime};
use time::{Duration as Span, UtcDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::host::clock::Clock;
use crate::keys::SigningKey;
use crate::pure::failure::FailureClass;

const NOON: UtcDateTime = utc_datetime!(2026-11-22 12:00);
const FINGERPRINT: &str = "00000000-0000-4000-8000-000000000000";

/// Both clocks of a machine.
#[derive(Debug)]
struct Fake(Mutex<(UtcDateTime, Duration)>);

impl Fake {
    fn pass(&self, span: Duration) {
        let mut clocks = self.0.lock().unwrap();
        clocks.0 += span;
        clocks.1 += span;
    }
}

impl Clock for Fake {
    fn now(&self) -> UtcDateTime {
        self.0.lock().unwrap().0
    }

    fn since_boot(&self) -> Duration {
        self.0.lock().unwrap().1
    }
}

/// A machine whose wall clock says this, and a service that answers as the test says.
struct Scene {
    fake: Arc<Fake>,
    ssm: Ssm,
    listener: TcpListener,
    key: InstanceKey,
}

impl Scene {
    async fn set(wall: UtcDateTime) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = Connection {
            region: "eu-central-1".parse().unwrap(),
            endpoint_url: Some(format!("http://{}", listener.local_addr().unwrap())),
            fips: false,
            dual_stack: false,
            ca_bundle: None,
            proxy: None,
            attempt_timeout: Duration::from_secs(20),
            out_of_reach: None,
        };
        let fake = Arc::new(Fake(Mutex::new((wall, Duration::from_secs(3600)))));
        let clock = ServiceClock::new(Arc::clone(&fake) as Arc<dyn Clock>);
        let ssm = Ssm::new(&connection, clock).unwrap().without_retries();
        let signing_key = Arc::new(SigningKey::generate().unwrap());
        let key = InstanceKey { instance_id: "mi-0123456789abcdef0".parse().unwrap(), signing_key };
        Self { fake, ssm, listener, key }
    }

    /// One request for a token, whose answer is under way for so long.
    async fn ask(&self, status: &str, date: UtcDateTime, body: &str, way: Duration) {
        let answer = async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            read_request(&mut stream).await;
            self.fake.pass(way);
            let format = format_description!(
                "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
            );
            let (date, length) = (date.format(format).unwrap(), body.len());
            let answer = format!(
                "HTTP/1.1 {status}\r\nDate: {date}\r\nx-amzn-RequestId: 1\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let fingerprint = FINGERPRINT.parse().unwrap();
        let (_, answered) =
            tokio::join!(answer, self.ssm.request_role_token(&self.key, fingerprint));
        assert_eq!(answered.is_ok(), status.starts_with("200"), "{answered:?}");
    }

    fn now(&self) -> UtcDateTime {
        self.ssm.clock().now()
    }

    fn signing_date(&self) -> UtcDateTime {
        self.ssm.clock().signing_date()
    }
}

async fn read_request(stream: &mut TcpStream) {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                return;
            }
        }
        assert!(stream.read_buf(&mut received).await.unwrap() > 0);
    }
}

fn token_until(end: UtcDateTime) -> String {
    format!(
        r#"{{"AccessKeyId":"ASIAEXAMPLE000000001","SecretAccessKey":"x","SessionToken":"x",
            "UpdateKeyPair":false,"TokenExpirationDate":{}}}"#,
        end.unix_timestamp()
    )
}

#[tokio::test]
async fn an_answer_that_is_under_way_while_time_passes_does_not_set_the_clock_back() {
    let scene = Scene::set(NOON - Span::days(2000)).await;
    let token = token_until(NOON + Span::HOUR);
    scene.ask("200 OK", NOON, &token, Duration::ZERO).await;
    assert!((scene.now() - NOON).abs() <= Span::SECOND, "{}", scene.now());

    // The machine sleeps for half an hour between the answer and its arrival.
    let nap = Duration::from_secs(1800);
    scene.ask("200 OK", NOON, &token, nap).await;
    assert!((scene.now() - NOON - nap).abs() <= Span::SECOND, "{}", scene.now());
}

#[tokio::test]
async fn a_date_is_believed_that_the_token_beside_it_bears_out() {
    let wall = NOON + Span::hours(2);
    for (date, end, is_heard) in [
        (NOON, NOON + Span::HOUR, true),
        (NOON, NOON + Span::hours(12), true),
        (NOON, NOON + Span::hours(13), false),
        (NOON - Span::days(200), NOON + Span::HOUR, false),
        (NOON + Span::hours(6), NOON + Span::HOUR, false),
        (utc_datetime!(2000-01-01 00:00), utc_datetime!(2000-01-01 01:00), false),
    ] {
        let scene = Scene::set(wall).await;
        scene.ask("200 OK", date, &token_until(end), Duration::ZERO).await;
        let expected = if is_heard { date } else { wall };
        assert!((scene.now() - expected).abs() <= Span::SECOND, "{date} {end}: {}", scene.now());
    }
}

#[tokio::test]
async fn a_refusal_of_before_this_program_was_made_does_not_move_the_clock() {
    let wall = NOON + Span::hours(2);
    let body = r#"{"__type":"InvalidSignatureException","message":"Signature expired"}"#;
    for (date, expected) in [(NOON, NOON), (utc_datetime!(1970-01-01 00:10), wall)] {
        let scene = Scene::set(wall).await;
        scene.ask("400 Bad Request", date, body, Duration::ZERO).await;
        let signing_date = scene.signing_date();
        assert!((signing_date - expected).abs() <= Span::SECOND, "{date}: {signing_date}");
        assert_eq!(scene.now(), wall, "no credentials end by it");
    }
}

#[tokio::test]
async fn a_throttling_answer_of_another_year_moves_nothing() {
    let scene = Scene::set(NOON).await;
    scene.ask("200 OK", NOON, &token_until(NOON + Span::HOUR), Duration::ZERO).await;
    let body = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
    for years in [1, -1, 30] {
        let date = NOON + Span::days(365 * years);
        scene.ask("400 Bad Request", date, body, Duration::ZERO).await;
        for now in [scene.now(), scene.signing_date()] {
            assert!((now - NOON).abs() <= Span::SECOND, "{date}: {now}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_read_to_a_bound_and_is_a_bad_answer() {
    for (head, piece) in [
        ("200 OK\r\n", "x".repeat(1024)),
        ("400 Bad Request\r\n", "x".repeat(1024)),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n", format!("400\r\n{}\r\n", "x".repeat(1024))),
        ("200 OK\r\nContent-Length: 6000000000\r\n", "x".repeat(1024)),
    ] {
        let scene = Scene::set(NOON).await;
        let answer = async {
            let (mut stream, _) = scene.listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(format!("HTTP/1.1 {head}\r\n").as_bytes()).await.unwrap();
            while stream.write_all(piece.as_bytes()).await.is_ok() {}
        };
        let fingerprint = FINGERPRINT.parse().unwrap();
        let (_, answered) =
            tokio::join!(answer, scene.ssm.request_role_token(&scene.key, fingerprint));
        let error = answered.unwrap_err();
        assert_eq!(error.class, FailureClass::BadAnswer, "{head}: {error}");
        assert!(error.to_string().contains("longer than 65536 bytes"), "{head}: {error}");
    }
}

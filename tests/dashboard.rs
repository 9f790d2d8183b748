//! The lab's dashboard over real sockets; `tests/dashboard/` has the browser.

use std::time::Duration;

use rolekeeper::host::clock::timeout;
use rolekeeper::lab::{Lab, LabSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A guard against waiting for ever; no test depends on how long anything takes.
const GUARD: Duration = Duration::from_secs(60);

/// A connection on which this was asked for.
async fn ask(lab: &Lab, target: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(lab.address()).await.unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", lab.address());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// What arrives until `mark` has.
async fn read_until(stream: &mut TcpStream, mark: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&seen).contains(mark) {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "the end, and no {mark}");
        }
    };
    timeout(GUARD, reading).await.expect("nothing arrives any more");
    String::from_utf8_lossy(&seen).into_owned()
}

fn token(lab: &Lab) -> String {
    lab.dashboard_url().split_once("/?").unwrap().1.to_owned()
}

#[tokio::test]
async fn the_address_that_is_printed_leads_to_the_page() {
    let lab = Lab::start(LabSettings::default()).await.unwrap();
    let url = lab.dashboard_url();
    let target = url.strip_prefix(&lab.endpoint_url()).unwrap();
    let page = read_until(&mut ask(&lab, target, "").await, "</html>").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'; "), "{page}");
    let closed = read_until(&mut ask(&lab, "/", "").await, "\r\n\r\n").await;
    assert!(closed.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{closed}");
}

#[tokio::test]
async fn a_signed_request_for_the_same_path_is_s3s() {
    let lab = Lab::start(LabSettings::default()).await.unwrap();
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=AKIAAAAAAAAAAAAAAAAA/20261122/\
                  us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00\r\n";
    let target = format!("/?{}", token(&lab));
    let answer = read_until(&mut ask(&lab, &target, signed).await, "\r\n\r\n").await;
    assert!(answer.contains("content-type: application/xml"), "{answer}");
}

#[tokio::test]
async fn a_watcher_sees_a_request_and_the_end_of_the_lab() {
    let lab = Lab::start(LabSettings::default()).await.unwrap();
    let target = format!("/dashboard/events?{}", token(&lab));
    let mut events = ask(&lab, &target, "").await;
    let first = read_until(&mut events, "event: activations").await;
    assert!(first.contains("content-type: text/event-stream"), "{first}");
    let mut other = TcpStream::connect(lab.address()).await.unwrap();
    let asked = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\
                  X-Amz-Target: AmazonSSM.DescribeActivations\r\n\r\n";
    other.write_all(asked).await.unwrap();
    read_until(&mut events, "DescribeActivations").await;
    lab.shutdown().await;
    let mut rest = Vec::new();
    let ended = timeout(GUARD, events.read_to_end(&mut rest)).await;
    // However abrupt: it is over.
    assert!(ended.is_ok(), "the stream outlives the lab");
}

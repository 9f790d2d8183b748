//! The bounds of what the lab waits for and reads.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What a client gets that sends this and then nothing, when the lab waits for next to no time.
async fn answer_to(begun: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.write_all(begun).await.unwrap();
    let region = "us-east-1".parse().unwrap();
    let service = Service::new(region, Duration::from_secs(3600), &SystemEntropy);
    let service = Arc::new(Mutex::new(service));
    let (_present, leaving) = watch::channel(());
    let (stream, peer) = listener.accept().await.unwrap();
    let dashboard = Dashboard::new(service.clone(), &Greeting::Plain, peer, &SystemEntropy);
    let visit = Visit { peer: peer.ip(), service, dashboard };
    tokio::spawn(converse(stream, visit, leaving, Duration::from_millis(1)));
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let answer = answer_to(b"POST / HTTP/1.1\r\nHost: a\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.ends_with("its head did not arrive in time\n"), "{answer}");
    assert_eq!(answer_to(b"").await, "", "an idle connection ends without a word");
}

#[tokio::test]
async fn a_body_that_does_not_end_is_not_waited_for() {
    let body = Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
    let request = axum::extract::Request::new(body);
    let reply = receive(request, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
    assert_eq!(reply.body, b"the body did not arrive within 10 s\n");
}

#[tokio::test]
async fn a_body_without_a_length_is_read_to_the_bound() {
    for (length, taken) in [(LARGEST_BODY, true), (LARGEST_BODY + 1, false)] {
        let chunks = vec![Ok::<_, io::Error>(Bytes::from(vec![b'x'; length]))];
        let request = axum::extract::Request::new(Body::from_stream(stream::iter(chunks)));
        let outcome = receive(request, BODY_TIMEOUT).await;
        assert_eq!(outcome.is_ok(), taken);
        assert!(outcome.map_or_else(|reply| reply.status == 400, |_| true));
    }
}

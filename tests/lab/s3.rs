//! S3 by hand-made signed requests: what its signatures cover, and what policies permit.

use aws_credential_types::Credentials;
use rolekeeper::lab::signatures::UNSIGNED_PAYLOAD;
use rolekeeper::pure::secret::Secret;
use rolekeeper::pure::signing::sigv4_signature;

use super::roles::{backup, node, session, start_with_roles, trusting};
use super::*;

/// A signed request; `canonical` is path and query as the signature has them, if they are sent
/// otherwise.
fn signed(
    lab: &Lab,
    caller: &Credentials,
    sent: &str,
    canonical: Option<&str>,
    payload: Option<&str>,
) -> String {
    let (method, target) = sent.split_once(' ').unwrap();
    let (path, query) = canonical.unwrap_or(target).split_once('?').unwrap_or((target, ""));
    let (at, host) = (SystemClock.now(), lab.address().to_string());
    let date = amz_date(at);
    let mut headers = vec![("host", host.as_str()), ("x-amz-date", date.as_str())];
    headers.extend(payload.map(|payload| ("x-amz-content-sha256", payload)));
    headers.extend(caller.session_token().map(|token| ("x-amz-security-token", token)));
    headers.sort_unstable();
    let signed_headers = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let canonical = canonical_request(&SignedParts {
        method,
        path,
        query,
        headers: &headers,
        signed_headers: &signed_headers,
        payload_sha256: payload.unwrap_or_default(),
    });
    let scope = CredentialScope::new(at, "us-east-1", "s3");
    let secret = Secret::new(caller.secret_access_key().to_owned());
    let authorization = Authorization {
        credential_id: caller.access_key_id().to_owned(),
        signature: sigv4_signature(&secret, &scope, &string_to_sign(&date, &scope, &canonical)),
        scope,
        signed_headers: signed_headers.into_iter().map(str::to_owned).collect(),
    };
    let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + &format!("authorization: {authorization}\r\n\r\n")
}

pub async fn ask(lab: &Lab, caller: &Credentials, sent: &str) -> Answer {
    let empty = sha256_hex(b"");
    let request = signed(lab, caller, sent, None, Some(&empty));
    exchange(lab.address(), request.as_bytes()).await.unwrap()
}

fn assert_says(answer: &Answer, status: u16, text: &str) {
    assert!(answer.status == status && answer.body.contains(text), "{}", answer.body);
}

#[tokio::test]
async fn a_bucket_is_listed_as_folders() {
    let lab = start().await;
    let admin = admin(&lab);
    let buckets = ask(&lab, &admin, "GET /").await;
    assert_says(&buckets, 200, "<Name>rolekeeper-lab</Name>");
    let top = ask(&lab, &admin, "GET /rolekeeper-lab?delimiter=%2F&list-type=2").await;
    assert_says(&top, 200, "<Key>hello.txt</Key>");
    assert_says(&top, 200, "<CommonPrefixes>\n<Prefix>logs/</Prefix>");
    assert!(!top.body.contains("first.log"), "{}", top.body);
    let page = ask(&lab, &admin, "GET /rolekeeper-lab?list-type=2&max-keys=1").await;
    assert_says(&page, 200, "<IsTruncated>true</IsTruncated>");
    let head = ask(&lab, &admin, "HEAD /rolekeeper-lab").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(ask(&lab, &admin, "HEAD /absent").await.status, 404);
    let absent = ask(&lab, &admin, "GET /absent?list-type=2").await;
    assert_says(&absent, 404, "<Code>NoSuchBucket</Code>");
}

#[tokio::test]
async fn the_body_may_be_left_unsigned_but_not_unsaid() {
    let lab = start().await;
    let admin = admin(&lab);
    let unsigned = signed(&lab, &admin, "GET /", None, Some(UNSIGNED_PAYLOAD));
    let answer = exchange(lab.address(), unsigned.as_bytes()).await.unwrap();
    assert_says(&answer, 200, "<Buckets>");
    let wrong = signed(&lab, &admin, "GET /", None, Some(&sha256_hex(b"other")));
    let answer = exchange(lab.address(), wrong.as_bytes()).await.unwrap();
    assert_says(&answer, 403, "<Code>SignatureDoesNotMatch</Code>");
    let unsaid = signed(&lab, &admin, "GET /", None, None);
    let answer = exchange(lab.address(), unsaid.as_bytes()).await.unwrap();
    assert_says(&answer, 400, "x-amz-content-sha256");
    let odd = signed(&lab, &admin, "GET /", None, Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
    let answer = exchange(lab.address(), odd.as_bytes()).await.unwrap();
    assert_says(&answer, 400, "<Code>InvalidArgument</Code>");
}

#[tokio::test]
async fn signatures_cover_path_and_query_in_their_canonical_form() {
    let lab = start().await;
    let (admin, empty) = (admin(&lab), sha256_hex(b""));
    let sent = "GET /rolekeeper%2dlab?prefix=logs/&list-type=2&delimiter=";
    let canonical = "/rolekeeper-lab?delimiter=&list-type=2&prefix=logs%2F";
    let request = signed(&lab, &admin, sent, Some(canonical), Some(&empty));
    let answer = exchange(lab.address(), request.as_bytes()).await.unwrap();
    assert_says(&answer, 200, "<Key>logs/first.log</Key>");
    let moved = request.replacen("prefix=logs/", "prefix=", 1);
    let answer = exchange(lab.address(), moved.as_bytes()).await.unwrap();
    assert_says(&answer, 403, "<Code>SignatureDoesNotMatch</Code>");
}

#[tokio::test]
async fn what_is_not_here_is_said_not_to_be() {
    let lab = start().await;
    let admin = admin(&lab);
    for sent in [
        "GET /rolekeeper-lab/hello.txt",
        "GET /rolekeeper-lab",
        "GET /rolekeeper-lab?acl",
        "PUT /rolekeeper-lab",
        "GET /?prefix=%zz",
    ] {
        assert_says(&ask(&lab, &admin, sent).await, 501, "<Code>NotImplemented</Code>");
    }
    for query in ["max-keys=x", "continuation-token=x", "prefix=%00", "encoding-type=x"] {
        let sent = format!("GET /rolekeeper-lab?list-type=2&{query}");
        let request = signed(&lab, &admin, &sent, Some(&sorted(&sent)), Some(&sha256_hex(b"")));
        let answer = exchange(lab.address(), request.as_bytes()).await.unwrap();
        assert_says(&answer, 400, "<Code>InvalidArgument</Code>");
    }
}

fn sorted(sent: &str) -> String {
    let (path, query) = sent.split_once(' ').unwrap().1.split_once('?').unwrap();
    let mut fields = query.split('&').collect::<Vec<_>>();
    fields.sort_unstable();
    format!("{path}?{}", fields.join("&"))
}

#[tokio::test]
async fn the_roles_and_the_sessions_policies_must_both_allow() {
    let lab = start_with_roles(trusting(&json!("000000000000"))).await;
    let (machine, client) = node(&lab).await;
    let of_node = issued(&machine.token(&lab).await.json());
    let denied = ask(&lab, &of_node, "GET /").await;
    assert_says(&denied, 403, "no identity-based policy allows the s3:ListAllMyBuckets action");
    let whole = session(backup(&client)).await;
    assert_eq!(ask(&lab, &whole, "GET /").await.status, 200);
    let one = r#"{"Statement": {"Effect": "Allow", "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::rolekeeper-*"}}"#;
    let one = session(backup(&client).policy(one)).await;
    let denied = ask(&lab, &one, "GET /").await;
    assert_says(&denied, 403, "no session policy allows the s3:ListAllMyBuckets action");
    assert_eq!(ask(&lab, &one, "HEAD /rolekeeper-lab").await.status, 200);
    // Whether a bucket is there is not told to those who may not look.
    let denied = ask(&lab, &one, "GET /absent?list-type=2").await;
    assert_says(&denied, 403, "<Code>AccessDenied</Code>");
}

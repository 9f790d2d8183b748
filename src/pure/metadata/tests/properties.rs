//! Both endpoints against generated requests.

use proptest::prelude::*;
use time::macros::utc_datetime;
use time::{Duration, UtcDateTime};

use super::super::container::{BearerToken, Grant};
use super::super::session::{LIFETIMES, SessionKey};
use super::super::tree::{Found, Leaf, Tree};
use super::super::{Head, Reply, container, instance};
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;

const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00:52);

/// What must be in no reply to a client that has shown nothing.
const SECRET: &str = "wJalrXUtnFEMI";

fn role_token() -> RoleToken {
    let secret = || Some(Secret::new(SECRET.to_owned()));
    let end = Some(NOW + Duration::HOUR);
    RoleToken::new(Some("ASIAIOSFODNN7EXAMPLE".into()), secret(), secret(), NOW, end, false)
        .unwrap()
}

fn key() -> SessionKey {
    SessionKey::new(Secret::new([1; 32]))
}

/// Requests that are mostly nearly right.
fn request() -> impl Strategy<Value = (String, String, Vec<(String, String)>)> {
    let method = prop_oneof!["GET", "PUT", "[A-Z]{0,8}"];
    let path = prop_oneof![
        "/(latest|2021-03-23)/api/token/?",
        Just("/latest/meta-data/iam/security-credentials/Role".to_owned()),
        "/latest(/[a-z-]{0,9}){0,4}",
        any::<String>(),
    ];
    let name = prop_oneof![
        Just("host".to_owned()),
        Just("authorization".to_owned()),
        Just("X-aws-ec2-metadata-token".to_owned()),
        Just("X-aws-ec2-metadata-token-ttl-seconds".to_owned()),
        "[a-z-]{1,20}",
    ];
    let value = prop_oneof![
        Just("127.0.0.1:1338".to_owned()),
        "[0-9]{1,7}",
        "[A-Za-z0-9_-]{70,80}",
        any::<String>(),
    ];
    let headers = prop::collection::vec((name, value), 0..6);
    (method.prop_map(String::from), path, headers).prop_map(|(method, path, mut headers)| {
        headers.push(("Host".to_owned(), "127.0.0.1:1338".to_owned()));
        (method, path, headers)
    })
}

fn both(method: &str, path: &str, headers: &[(&str, &str)]) -> [Reply; 2] {
    let token = role_token();
    let leaf = Leaf::Credentials(Ok(&token));
    let tree = Tree::default().with("meta-data/iam/security-credentials/Role", leaf);
    let bearer = BearerToken::new(&Secret::new("sesame".to_owned()));
    let grant =
        Grant { token: &bearer, path, credentials: Ok(&token), account_id: None, role_arn: None };
    let head = Head { method, authority: None, path, headers };
    [instance::answer(&head, &key(), &tree, [7; 16], NOW), container::answer(&head, &[grant], NOW)]
}

proptest! {
    #[test]
    fn no_request_without_a_token_gets_a_secret((method, path, headers) in request()) {
        let headers = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>();
        let [instance, container] = both(&method, &path, &headers);
        for reply in [&instance, &container] {
            let body = String::from_utf8_lossy(reply.body.expose());
            prop_assert!(!body.contains(SECRET));
            prop_assert!(matches!(reply.status, 200 | 400 | 401 | 403 | 404 | 405), "{}", reply.status);
        }
        // The one thing that is there for everybody is a session.
        prop_assert!(instance.status != 200 || (method == "PUT" && path.contains("/api/token")));
        prop_assert_ne!(container.status, 200);
    }

    #[test]
    fn a_token_is_good_for_its_own_key_and_time_alone(
        key_bytes: [u8; 32],
        nonce: [u8; 16],
        seconds in LIFETIMES,
        after in 0_i64..50_000_000,
    ) {
        let own = SessionKey::new(Secret::new(key_bytes));
        let token = own.open(seconds, nonce, NOW);
        let later = NOW + Duration::milliseconds(after);
        prop_assert_eq!(own.admits(token.expose(), later), after < i64::from(seconds) * 1000);
        prop_assert!(key_bytes == [1; 32] || !key().admits(token.expose(), NOW));
    }

    #[test]
    fn no_part_of_a_token_can_be_altered(
        seconds in LIFETIMES,
        at in 0_usize..75,
        other in "[A-Za-z0-9_-]",
    ) {
        let token = key().open(seconds, [7; 16], NOW).expose().clone();
        let mut altered = token.clone();
        altered.replace_range(at..=at, &other);
        prop_assert_eq!(key().admits(&altered, NOW), altered == token);
    }

    #[test]
    fn any_text_is_survived(token in any::<String>(), path in any::<String>()) {
        prop_assert!(!key().admits(&token, NOW));
        let tree = Tree::default().with("a/b", Leaf::Text(String::new()));
        // A directory is never empty.
        if let Found::Directory(names) = tree.find(&path) {
            prop_assert!(!names.is_empty());
        }
    }
}

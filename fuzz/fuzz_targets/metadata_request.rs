//! Any request head to both metadata endpoints: no panic, a status that SDKs know, and no credential
//! for whoever has shown neither session nor token. The first line is method and path, the others are
//! headers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::pure::metadata::container::{self, BearerToken, Grant};
use rolekeeper::pure::metadata::session::SessionKey;
use rolekeeper::pure::metadata::tree::{Leaf, Tree};
use rolekeeper::pure::metadata::{Head, instance};
use rolekeeper::pure::role_token::RoleToken;
use rolekeeper::pure::secret::Secret;
use time::macros::utc_datetime;

const PATH: &str = "/latest/meta-data/container/security-credentials";
const SECRET: &str = "wJalrXUtnFEMI";

fuzz_target!(|text: &str| {
    let now = utc_datetime!(2026-11-22 00:00);
    let mut lines = text.lines();
    let (method, path) = lines.next().unwrap_or_default().split_once(' ').unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(": ")).collect::<Vec<_>>();
    // A whole URL instead of a path, as hyper takes it apart.
    let (authority, path) = match path.strip_prefix("http://") {
        Some(rest) => (rest.split('/').next(), rest.find('/').map_or("", |at| &rest[at..])),
        None => (None, path),
    };
    let head = Head { method, authority, path, headers: &headers };

    let secret = || Some(Secret::new(SECRET.to_owned()));
    let end = Some(utc_datetime!(2026-11-22 01:00));
    let token = RoleToken::new(
        Some("ASIAIOSFODNN7EXAMPLE".to_owned()),
        secret(),
        secret(),
        now,
        end,
        false,
    )
    .expect("the credentials are well formed");
    let tree = Tree::default()
        .with("meta-data/instance-id", Leaf::Text("i-1234567890abcdef0".to_owned()))
        .with("meta-data/iam/security-credentials/Role", Leaf::Credentials(Ok(&token)));
    let key = SessionKey::new(Secret::new([1; 32]));
    let bearer = BearerToken::new(&Secret::new("not to be guessed".repeat(4)));
    let grant = Grant {
        token: &bearer,
        path: PATH,
        credentials: Ok(&token),
        account_id: None,
        role_arn: None,
    };
    for reply in [
        instance::answer(&head, &key, &tree, [7; 16], now),
        container::answer(&head, &[grant], now),
    ] {
        assert!(matches!(reply.status, 200 | 400 | 401 | 403 | 404 | 405), "{}", reply.status);
        assert!(!String::from_utf8_lossy(reply.body.expose()).contains(SECRET));
    }
});

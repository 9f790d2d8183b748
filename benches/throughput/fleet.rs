//! Nodes in a lab's file, some of which can sign.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::host::entropy::{Entropy, SystemEntropy};
use rolekeeper::keys::{PublicKey, SigningKey};
use rolekeeper::lab::issue;
use rolekeeper::lab::nodes::{Information, Node, Nodes, Ping};
use rolekeeper::lab::store::Store;
use rolekeeper::lab::tags::Tags;
use rolekeeper::pure::identity::InstanceId;
use rolekeeper::pure::signing::{
    Authorization, CredentialScope, SignedParts, amz_date, canonical_request, sha256_hex,
    string_to_sign,
};

use super::Outcome;

pub(crate) const REGION: &str = "us-east-1";

/// Nodes that have a private key. Making one takes a tenth of a second, so the others have numbers
/// that look like a public key.
const SIGNERS: usize = 32;

/// Where a 2048-bit modulus lies in the DER of a SubjectPublicKeyInfo.
const MODULUS: std::ops::Range<usize> = 33..289;

const FINGERPRINT: &str = "f6699b39-9f9a-4a34-8cea-d81c17d5fa4d";

/// The nodes that can sign.
pub(crate) struct Fleet(Vec<(InstanceId, SigningKey)>);

impl Fleet {
    /// Writes `count` nodes into a new file, as if all had registered and pinged.
    pub(crate) fn settle(file: &Path, count: u32) -> Outcome<Self> {
        let store = Store::open(file, &REGION.parse()?)?;
        let mut nodes = Nodes::new(&store);
        let mut signers = Vec::new();
        for _ in 0..SIGNERS {
            signers.push((issue::instance_id(&SystemEntropy), SigningKey::generate()?));
        }
        let template = STANDARD.decode(signers[0].1.public_key().encode())?;
        let all = store.begin()?;
        for (id, key) in &signers {
            nodes.insert(&node(id.clone(), key.public_key()))?;
        }
        for _ in signers.len()..usize::try_from(count)? {
            let id = issue::instance_id(&SystemEntropy);
            nodes.insert(&node(id, look_alike(template.clone())?))?;
        }
        all.commit()?;
        Ok(Self(signers))
    }

    /// A request of every node that can sign, ready to be sent to `address`.
    pub(crate) fn requests(&self, address: &str) -> Vec<Vec<u8>> {
        self.0.iter().map(|(id, key)| role_token_request(id, key, address).into_bytes()).collect()
    }
}

fn node(id: InstanceId, public_key: PublicKey) -> Node {
    let now = SystemClock.now();
    let text = |text: &str| Some(text.to_owned());
    Node {
        id,
        fingerprint: FINGERPRINT.to_owned(),
        public_key,
        key_changes: 0,
        asked_for_new_key: false,
        activation_id: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        iam_role: "SSMServiceRole".to_owned(),
        name: None,
        tags: Tags::default(),
        registered_at: now,
        last_ping: Some(Ping {
            at: now,
            said: Information {
                agent_version: text("3.3.0.0"),
                computer_name: text("node.example.com"),
                ip_address: text("192.0.2.1"),
                platform_name: text("Debian GNU/Linux"),
                platform_type: text("Linux"),
                platform_version: text("12"),
                ..Information::default()
            },
        }),
    }
}

/// A key of its own for which nobody has the private half.
fn look_alike(mut der: Vec<u8>) -> Outcome<PublicKey> {
    let modulus = der.get_mut(MODULUS).ok_or("the DER is shorter than expected")?;
    SystemEntropy.fill(modulus);
    modulus[0] |= 0x80;
    modulus[255] |= 1;
    Ok(PublicKey::decode(&STANDARD.encode(der))?)
}

fn role_token_request(id: &InstanceId, key: &SigningKey, address: &str) -> String {
    let now = SystemClock.now();
    let (date, scope) = (amz_date(now), CredentialScope::new(now, REGION, "ssm"));
    let body = format!("{{\"Fingerprint\":\"{FINGERPRINT}\"}}");
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("host", address),
        ("x-amz-date", date.as_str()),
        ("x-amz-target", "AmazonSSM.RequestManagedInstanceRoleToken"),
    ];
    let signed_headers = headers.map(|(name, _)| name);
    let canonical = canonical_request(&SignedParts {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        signed_headers: &signed_headers,
        payload_sha256: &sha256_hex(body.as_bytes()),
    });
    let authorization = Authorization {
        credential_id: id.to_string(),
        signature: key.sign(&string_to_sign(&date, &scope, &canonical)),
        scope,
        signed_headers: signed_headers.map(str::to_owned).to_vec(),
    };
    let head = headers.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    format!(
        "POST / HTTP/1.1\r\n{head}authorization: {authorization}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

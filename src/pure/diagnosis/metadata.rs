//! Does something answer where EC2's instance metadata would, on a machine that is not on EC2?
//!
//! SDKs ask there when they find credentials nowhere else, and take whatever comes.

use super::Finding;
use super::service::excerpt;

/// What was heard at the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    /// A session was given, or the old way without one still works; and the roles that are listed.
    Metadata {
        session: bool,
        roles: Vec<String>,
    },
    /// Whatever it is, instance metadata it is not: the first words of its answer.
    Other {
        status: Option<u16>,
        words: String,
    },
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub body: String,
}

const REMEDY: &str = "set AWS_EC2_METADATA_DISABLED=true for the programs that do not ask an [endpoint.imds] of ours, or \
     keep their packets from that address";

/// Judges what answers at `address`.
pub fn judge(address: &str, heard: &Heard) -> Finding {
    match heard {
        Heard::Nothing => Finding::ok(format!("nothing answers at {address}")),
        Heard::Metadata { roles, .. } if roles.is_empty() => {
            Finding::ok(format!("{address} answers as instance metadata, and has no role"))
        }
        Heard::Metadata { session, roles } => {
            let finding = Finding::warning(
                format!(
                    "{address} hands out the role {}: a program that finds no other credentials \
                     takes these",
                    roles.join(", ")
                ),
                REMEDY,
            );
            if *session {
                finding
            } else {
                finding
                    .seen("without a session (IMDSv1), to whoever can make a program fetch a URL")
            }
        }
        Heard::Other { status, words } => {
            let status = status.map(|status| format!("HTTP status {status}"));
            let words = (!words.is_empty()).then(|| format!("it says: {words}"));
            Finding::warning(
                format!(
                    "something answers at {address} that is not instance metadata: programs that \
                     ask there wait or fail"
                ),
                REMEDY,
            )
            .all_seen(status.into_iter().chain(words))
        }
    }
}

/// Makes sense of the answers to a request for a session, and to one for the roles.
pub fn heard(session: Option<&Page>, roles: Option<&Page>) -> Heard {
    let given = session.is_some_and(|page| page.status == 200 && is_word(&page.body));
    match roles {
        Some(Page { status: 404, .. }) if given => Heard::Metadata { session: true, roles: vec![] },
        Some(page) if page.status == 200 && page.body.lines().all(is_word) => {
            Heard::Metadata { session: given, roles: page.body.lines().map(excerpt).collect() }
        }
        // Whoever refuses to answer without a session behaves as EC2 does.
        None | Some(Page { status: 401, .. }) if given => {
            Heard::Metadata { session: true, roles: vec![] }
        }
        other => {
            let page = other.or(session);
            let words = page.map(|page| excerpt(&page.body)).unwrap_or_default();
            Heard::Other { status: page.map(|page| page.status), words }
        }
    }
}

/// Reads an answer; nothing of what is not HTTP.
pub fn page(text: &str) -> Option<Page> {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    let body = if chunked { joined(body) } else { body.to_owned() };
    Some(Page { status, body })
}

/// The chunks of a body (RFC 9112, section 7.1), as far as they came.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = length.split(';').next().unwrap_or_default().trim();
        let Ok(length) = usize::from_str_radix(length, 16) else { break };
        let Some(chunk) = rest.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        body.push_str(chunk);
        chunks = rest[length..].trim_start_matches("\r\n");
    }
    body
}

/// As a role's name and a session's token are, and a line of HTML is not.
fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@-_/".contains(&b);
    !text.is_empty() && text.trim_end().bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pure::diagnosis::Verdict;

    fn given(status: u16, body: &str) -> Option<Page> {
        Some(Page { status, body: body.to_owned() })
    }

    #[test]
    fn a_role_that_anybody_could_take_by_mistake_is_a_warning() {
        let token = given(200, "AQAEAMAZ-token==");
        for (session, roles, text, evidence) in [
            (token.clone(), given(200, "web-role"), "the role web-role", ""),
            (given(405, ""), given(200, "web-role\n"), "the role web-role", "IMDSv1"),
        ] {
            let finding = judge("169.254.169.254", &heard(session.as_ref(), roles.as_ref()));
            assert_eq!(finding.verdict, Verdict::Warning);
            assert!(finding.text.contains(text), "{finding:?}");
            assert!(finding.evidence.concat().contains(evidence), "{finding:?}");
        }
        for roles in [given(404, "<?xml"), given(401, ""), None] {
            let metadata = heard(token.as_ref(), roles.as_ref());
            assert_eq!(judge("a", &metadata).verdict, Verdict::Ok, "{metadata:?}");
        }
        assert_eq!(judge("a", &Heard::Nothing).verdict, Verdict::Ok);
    }

    #[test]
    fn a_portal_that_says_yes_to_everything_is_not_taken_for_metadata() {
        let portal = given(200, "<html>\n<title>Log in</title>");
        let heard = heard(portal.as_ref(), portal.as_ref());
        let finding = judge("169.254.169.254", &heard);
        assert_eq!(finding.verdict, Verdict::Warning);
        assert_eq!(finding.evidence, ["HTTP status 200", "it says: <html> <title>Log in</title>"]);
    }

    #[test]
    fn a_body_in_chunks_is_put_together() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nweb-\r\n4;x\r\nrole\r\n0\r\n\r\n";
        assert_eq!(page(text), given(200, "web-role"));
        assert_eq!(page(&text[..text.len() - 15]), given(200, "web-"), "broken off");
        assert_eq!(page("HTTP/1.1 404 Not Found\r\n\r\nno"), given(404, "no"));
        assert_eq!(page("SSH-2.0-OpenSSH\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_chunks_are_read_without_a_panic(chunks in "(?s)[0-9a-fé\\r\\n]{0,80}") {
            let _ = joined(&chunks);
        }

        #[test]
        fn any_answer_is_read_without_a_panic(one in "(?s).{0,80}", other in "(?s).{0,80}") {
            let head = format!("HTTP/1.{one}");
            let (one, other) = (page(&head), page(&other));
            let _ = judge("a", &heard(one.as_ref(), other.as_ref()));
        }
    }
}

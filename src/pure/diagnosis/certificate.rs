//! Why the other end's certificate was not taken, in words.

/// What the TLS library held against a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// Signed by nobody whom this machine trusts.
    UnknownIssuer,
    Expired,
    NotYetValid,
    /// It is for these names.
    OtherNames(Vec<String>),
    /// In the library's words.
    Other(String),
}

/// The sentence about a certificate that `host` showed, and what to do.
pub fn in_words(distrust: &Distrust, host: &str, ca_bundle: Option<&str>) -> (String, String) {
    (said(distrust, host, ca_bundle), remedy(distrust, ca_bundle))
}

fn said(distrust: &Distrust, host: &str, ca_bundle: Option<&str>) -> String {
    let shows = |what: &str| format!("{host} shows a certificate {what}");
    match (distrust, ca_bundle) {
        (Distrust::UnknownIssuer, None) => shows("whose issuer this machine does not trust"),
        (Distrust::UnknownIssuer, Some(bundle)) => {
            shows(&format!("whose issuer is not in {bundle}"))
        }
        (Distrust::Expired, _) => shows("that has ended, by this machine's clock"),
        (Distrust::NotYetValid, _) => shows("that is not valid yet, by this machine's clock"),
        (Distrust::OtherNames(names), _) => match names.as_slice() {
            [] => shows("for another name"),
            names => shows(&format!("for {}", names.join(", "))),
        },
        (Distrust::Other(reason), _) => format!("TLS with {host} failed: {reason}"),
    }
}

fn remedy(distrust: &Distrust, ca_bundle: Option<&str>) -> String {
    match (distrust, ca_bundle) {
        (Distrust::UnknownIssuer, None) => {
            "where a proxy opens TLS, name its CA: ca_bundle in [service], or AWS_CA_BUNDLE; else \
             install the package ca-certificates"
                .to_owned()
        }
        (Distrust::UnknownIssuer, Some(bundle)) => {
            format!("add the issuer's certificate to {bundle}, which replaces the system's")
        }
        (Distrust::Expired, _) => "look at the clock first (date -u); else whoever runs that host \
                                   must renew it"
            .to_owned(),
        (Distrust::NotYetValid, _) => {
            "set the clock: chronyc makestep, or timedatectl set-ntp true".to_owned()
        }
        (Distrust::OtherNames(_), _) => {
            "check endpoint_url, DNS and captive portals: another server answers there".to_owned()
        }
        (Distrust::Other(_), _) => {
            "check proxy and middleboxes between here and the service".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_sentence_and_a_remedy_of_its_own() {
        let host = "ssm.eu-central-1.amazonaws.com";
        for (distrust, bundle, text, remedy) in [
            (Distrust::UnknownIssuer, None, "issuer this machine does not trust", "AWS_CA_BUNDLE"),
            (Distrust::UnknownIssuer, Some("/etc/ca.pem"), "not in /etc/ca.pem", "add the issuer"),
            (Distrust::Expired, None, "has ended", "renew"),
            (Distrust::NotYetValid, None, "not valid yet", "set the clock"),
            (
                Distrust::OtherNames(vec!["portal.example".into()]),
                None,
                "for portal.example",
                "captive",
            ),
            (Distrust::OtherNames(vec![]), None, "for another name", "captive"),
            (Distrust::Other("bad record".into()), None, "bad record", "proxy"),
        ] {
            let words = in_words(&distrust, host, bundle);
            assert!(words.0.contains(text) && words.0.contains(host), "{words:?}");
            assert!(words.1.contains(remedy), "{words:?}");
        }
    }
}

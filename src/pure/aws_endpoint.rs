//! What an endpoint's URL tells of it: whether it is AWS's own, and what a signature covers of it.

/// What AWS's endpoints end in, of every partition that the SDK's rules know, dual-stack names and
/// VPC endpoints included.
const SUFFIXES: [&str; 7] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".api.aws",
    ".api.amazonwebservices.com.cn",
    ".amazonaws.eu",
    ".api.amazonwebservices.eu",
    ".vpce.amazonaws.com",
];

/// Those of them that have IPv6 addresses, too.
const DUAL_STACK: [&str; 3] =
    [".api.aws", ".api.amazonwebservices.com.cn", ".api.amazonwebservices.eu"];

/// Whether it leads to AWS over TLS, so that nobody on the way can change what is signed.
pub fn is_of_aws(url: &str) -> bool {
    url.starts_with("https://") && SUFFIXES.iter().any(|suffix| host(url).ends_with(suffix))
}

/// Whether its name has IPv6 addresses.
pub fn is_dual_stack(url: &str) -> bool {
    DUAL_STACK.iter().any(|suffix| host(url).ends_with(suffix))
}

/// The path, where there is more than the root.
pub fn path(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let path = &rest[rest.find('/')?..];
    Some(path).filter(|path| path.len() > 1)
}

/// The host's name, without port.
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_is_told_from_what_stands_before_it() {
        for url in [
            "https://ssm.eu-central-1.amazonaws.com",
            "https://ssm.cn-north-1.amazonaws.com.cn/",
            "https://ssm.us-east-1.api.aws",
            "https://vpce-0a1b.ssm.eu-central-1.vpce.amazonaws.com:443",
        ] {
            assert!(is_of_aws(url), "{url}");
        }
        for url in [
            "http://ssm.eu-central-1.amazonaws.com",
            "https://ssm.example",
            "https://ssm.amazonaws.com.example/",
            "http://127.0.0.1:8080/ssm",
            "",
        ] {
            assert!(!is_of_aws(url), "{url}");
        }
        assert!(is_dual_stack("https://ssm.us-east-1.api.aws/"));
        assert!(!is_dual_stack("https://ssm.us-east-1.amazonaws.com"));
    }

    #[test]
    fn a_path_is_what_comes_after_the_host() {
        assert_eq!(path("http://127.0.0.1:8080/ssm/"), Some("/ssm/"));
        for url in ["http://127.0.0.1:8080/", "http://ssm.example", "ssm.example/x"] {
            assert_eq!(path(url), None, "{url}");
        }
        assert_eq!(host("http://[::1]:80/x"), "[::1]");
        assert_eq!(host("https://ssm.example"), "ssm.example");
    }
}

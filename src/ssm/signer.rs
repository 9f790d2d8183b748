//! The signer that the runtime calls for every attempt, paired with `pure::signing`.

use std::sync::Arc;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{
    AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, Sign,
};
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityFuture, ResolveIdentity, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_types::config_bag::ConfigBag;

use super::{AwsCredentials, HostKey, InstanceKey};
use crate::host::clock::ServiceClock;
use crate::pure::signing::{
    Authorization, CredentialScope, SignedParts, amz_date, canonical_request, sha256_hex,
    sigv4_signature, string_to_sign,
};

/// The name under which the runtime finds scheme and identity.
pub(super) const SCHEME: AuthSchemeId = AuthSchemeId::new("rolekeeper");

/// Who signs.
#[derive(Debug, Clone)]
pub(super) enum Credential {
    /// Nobody: registration is admitted by its activation code.
    Anonymous,
    /// An AWS credential, by SigV4.
    Aws(AwsCredentials),
    /// An EC2 instance: its own credentials by SigV4, and the key that it registered by RSASSA-PSS.
    Host(HostKey),
    /// The instance itself, by RSASSA-PSS.
    Instance(InstanceKey),
}

/// Where an EC2 instance proves its key: `Signature=`, and that key's signature of the request's whole
/// `Authorization` value. The reference agent's `SSM-AsymmetricKeyAuthorization`.
const HOST_PROOF: &str = "ssm-asymmetrickeyauthorization";

/// Signs for one region, by the service's clock.
#[derive(Debug)]
pub(super) struct Signer {
    pub region: String,
    pub clock: ServiceClock,
}

/// Hands the credential to the runtime, which hands it back to the signer.
#[derive(Debug)]
pub(super) struct Holder(pub Arc<Credential>);

impl ResolveIdentity for Holder {
    fn resolve_identity<'a>(
        &'a self,
        _components: &'a RuntimeComponents,
        _config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::ready(Ok(Identity::new(Arc::clone(&self.0), None)))
    }
}

impl AuthScheme for Signer {
    fn scheme_id(&self) -> AuthSchemeId {
        SCHEME
    }

    fn identity_resolver(
        &self,
        identity_resolvers: &dyn GetIdentityResolver,
    ) -> Option<SharedIdentityResolver> {
        identity_resolvers.identity_resolver(SCHEME)
    }

    fn signer(&self) -> &dyn Sign {
        self
    }
}

impl Sign for Signer {
    fn sign_http_request(
        &self,
        request: &mut HttpRequest,
        identity: &Identity,
        _endpoint: AuthSchemeEndpointConfig<'_>,
        _components: &RuntimeComponents,
        _config: &ConfigBag,
    ) -> Result<(), BoxError> {
        let credential =
            identity.data::<Arc<Credential>>().ok_or("the identity is not one of ours")?;
        self.sign(request, credential)
    }
}

impl Signer {
    /// Dates and signs. A request that was signed before, in an earlier attempt, is signed anew.
    fn sign(&self, request: &mut HttpRequest, credential: &Credential) -> Result<(), BoxError> {
        let uri: http::Uri = request.uri().parse()?;
        request.headers_mut().insert("host", host_header(&uri)?);
        let token = match credential {
            Credential::Anonymous => return Ok(()),
            Credential::Aws(credentials) | Credential::Host(HostKey { credentials, .. }) => {
                credentials.session_token.as_ref()
            }
            Credential::Instance(_) => None,
        };
        let date = self.clock.signing_date();
        let payload_sha256 = sha256_hex(request.body().bytes().ok_or("the body is a stream")?);
        let headers = request.headers_mut();
        headers.insert("x-amz-date", amz_date(date));
        if let Some(token) = token {
            headers.insert("x-amz-security-token", token.expose().clone());
        }
        // The reference agent's set: nothing that a proxy may change, nothing that it lacks.
        let mut signed_headers = vec!["content-type", "host", "x-amz-date"];
        signed_headers.extend(token.map(|_| "x-amz-security-token"));
        signed_headers.push("x-amz-target");

        let scope = CredentialScope::new(date, &self.region, "ssm");
        let sent = request.headers().iter().collect::<Vec<_>>();
        let canonical = canonical_request(&SignedParts {
            method: request.method(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: &sent,
            signed_headers: &signed_headers,
            payload_sha256: &payload_sha256,
        });
        let text = string_to_sign(&amz_date(date), &scope, &canonical);
        let (credential_id, signature) = match credential {
            Credential::Anonymous => return Ok(()),
            Credential::Aws(credentials) | Credential::Host(HostKey { credentials, .. }) => (
                credentials.access_key_id.clone(),
                sigv4_signature(&credentials.secret_access_key, &scope, &text),
            ),
            Credential::Instance(key) => (key.instance_id.to_string(), key.signing_key.sign(&text)),
        };
        let signed_headers = signed_headers.into_iter().map(str::to_owned).collect();
        let authorization = Authorization { credential_id, scope, signed_headers, signature };
        let authorization = authorization.to_string();
        let headers = request.headers_mut();
        if let Credential::Host(key) = credential {
            let proof = key.signing_key.sign(&authorization);
            headers.insert(HOST_PROOF, format!("Signature={proof}"));
        }
        headers.insert("authorization", authorization);
        // Sent unsigned, as the reference agent does.
        headers.insert("x-amz-content-sha256", payload_sha256);
        Ok(())
    }
}

/// The `Host` header as it is sent: a default port is left out.
fn host_header(uri: &http::Uri) -> Result<String, BoxError> {
    let host = uri.host().ok_or("the endpoint has no host")?;
    Ok(match (uri.port_u16(), uri.scheme_str()) {
        (None, _) | (Some(443), Some("https")) | (Some(80), Some("http")) => host.to_owned(),
        (Some(port), _) => format!("{host}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_port_is_not_in_the_host_header() {
        for (uri, host) in [
            ("https://ssm.eu-central-1.amazonaws.com/", "ssm.eu-central-1.amazonaws.com"),
            ("https://example.com:443/", "example.com"),
            ("http://127.0.0.1:80/", "127.0.0.1"),
            ("http://127.0.0.1:4599/", "127.0.0.1:4599"),
            ("https://[::1]:8443/", "[::1]:8443"),
        ] {
            assert_eq!(host_header(&uri.parse().unwrap()).unwrap(), host);
        }
    }
}

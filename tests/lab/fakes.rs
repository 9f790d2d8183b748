//! What the lab hands out looks as if it were AWS's, and shows that it is not.

use super::*;

const NOBODYS_ACCOUNT: &str = "000000000000";

#[tokio::test]
async fn credentials_have_the_shape_of_awss_and_the_mark_of_the_lab() {
    let trust = json!({ "AWS": "arn:aws:iam::000000000000:root" });
    let lab = roles::start_with_roles(roles::trusting(&trust["AWS"])).await;
    let (machine, node) = roles::node(&lab).await;
    let token = machine.token(&lab).await.json();
    let assumed = roles::backup(&node).send().await.unwrap();
    let assumed = assumed.credentials().unwrap();
    let text = |name: &str| token[name].as_str().unwrap();
    for (id, secret, session_token) in [
        (text("AccessKeyId"), text("SecretAccessKey"), text("SessionToken")),
        (assumed.access_key_id(), assumed.secret_access_key(), assumed.session_token()),
    ] {
        assert!(id.len() == 20 && id.starts_with("ASIA"), "{id}");
        assert_eq!(secret.len(), 40);
        // "origin_ec" is what AWS's begin with; here it is "origin_" and the word.
        assert!(session_token.starts_with("IQoJb3JpZ2luX2lab/") && session_token.len() > 300);
    }
    let admin = lab.admin();
    assert!(admin.access_key_id.len() == 20 && admin.access_key_id.starts_with("AKIA"));
    assert_eq!(admin.secret_access_key.expose().len(), 40);
}

#[tokio::test]
async fn everything_belongs_to_the_account_that_aws_gives_to_nobody() {
    let trust = json!({ "AWS": "arn:aws:iam::000000000000:root" });
    let lab = roles::start_with_roles(roles::trusting(&trust["AWS"])).await;
    let (_, node) = roles::node(&lab).await;
    let assumed = roles::backup(&node).send().await.unwrap();
    let assumed_arn = assumed.assumed_role_user().unwrap().arn();
    let callers = [sts(&lab, admin(&lab)), node];
    for caller in callers {
        let identity = caller.get_caller_identity().send().await.unwrap();
        assert_eq!(identity.account(), Some(NOBODYS_ACCOUNT));
        assert_eq!(account(identity.arn().unwrap()), NOBODYS_ACCOUNT);
    }
    assert_eq!(account(assumed_arn), NOBODYS_ACCOUNT);
}

/// The fifth part of an ARN.
fn account(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap()
}

//! What an administrator does, and what the machines notice of it.

use proptest::strategy::Strategy;

use super::*;

impl Scene {
    fn admin(&mut self, operation: Operation, body: &Value) -> Seen {
        let request = admin_signed(&self.service, operation, body, NOW);
        self.ask(&request, NOW)
    }

    fn done(&mut self, operation: Operation, body: &Value) -> Value {
        let (status, _, answer) = self.admin(operation, body);
        assert_eq!(status, 200, "{operation}: {answer}");
        answer
    }

    fn resource(&self) -> Value {
        json!({ "ResourceType": "ManagedInstance", "ResourceId": self.node.as_str() })
    }

    /// The ids of the nodes that pass one filter.
    fn found(&mut self, key: &str, value: &str) -> usize {
        let body = json!({ "Filters": [{ "Key": key, "Values": [value] }] });
        let answer = self.done(Operation::DescribeInstanceInformation, &body);
        answer["InstanceInformationList"].as_array().unwrap().len()
    }
}

#[test]
fn a_changed_role_counts_for_the_next_token() {
    let mut scene = Scene::new();
    let before = scene.token(NOW);
    let body = json!({ "InstanceId": scene.node.as_str(), "IamRole": "service-role/Other" });
    scene.done(Operation::UpdateManagedInstanceRole, &body);
    let after = scene.token(NOW);
    for (token, role) in [(before, "Role"), (after, "Other")] {
        let (_, _, text) = scene.ask(&role_signed(&token, caller_identity(), "sts", NOW), NOW);
        let arn = format!("assumed-role/{role}/{}", scene.node);
        assert!(text.as_str().unwrap().contains(&arn), "{text}");
    }
    assert_eq!(scene.found("IamRole", "service-role/Other"), 1);
}

#[test]
fn a_role_is_changed_only_to_a_role_and_only_of_a_node() {
    let mut scene = Scene::new();
    let node = scene.node.to_string();
    for (id, role, code) in [
        (node.as_str(), "", "ValidationException"),
        (node.as_str(), "a b", "ValidationException"),
        ("mi-1", "Role", "ValidationException"),
        ("mi-00000000000000000", "Role", "InvalidInstanceId"),
    ] {
        let body = json!({ "InstanceId": id, "IamRole": role });
        assert_eq!(scene.admin(Operation::UpdateManagedInstanceRole, &body).1, code, "{body}");
    }
    let (_, _, answer) = scene.admin(Operation::UpdateManagedInstanceRole, &json!({}));
    assert!(answer["message"].as_str().unwrap().starts_with("2 validation errors"), "{answer}");
}

#[test]
fn a_node_inherits_its_activations_tags_and_they_can_be_changed() {
    let mut scene = Scene::new();
    let tagged = json!({ "IamRole": "Role", "Tags": [{ "Key": "OS", "Value": "Debian" }] });
    let request = registration(&mut scene.service, tagged);
    let mut body = serde_json::from_slice::<Value>(&request.body).unwrap();
    body["PublicKey"] = OTHER_KEY.public_key().encode().into();
    let request = Request { body: body.to_string().into_bytes(), ..request };
    let (_, _, answer) = scene.ask(&request, NOW);
    scene.node = answer["InstanceId"].as_str().unwrap().parse().unwrap();
    assert_eq!(scene.found("tag:OS", "Debian"), 1);

    let mut add = scene.resource();
    add["Tags"] = json!([{ "Key": "OS", "Value": "Ubuntu" }, { "Key": "Env", "Value": "" }]);
    scene.done(Operation::AddTagsToResource, &add);
    assert_eq!(scene.found("tag:OS", "Debian"), 0);
    assert_eq!(scene.found("tag-key", "Env"), 1);

    let mut remove = scene.resource();
    remove["TagKeys"] = json!(["OS", "absent"]);
    scene.done(Operation::RemoveTagsFromResource, &remove);
    let listed = scene.done(Operation::ListTagsForResource, &scene.resource());
    assert_eq!(listed["TagList"], json!([{ "Key": "Env", "Value": "" }]));
}

#[test]
fn tags_of_what_is_not_there_are_refused() {
    let mut scene = Scene::new();
    let node = scene.resource();
    scene.done(Operation::DeregisterManagedInstance, &json!({ "InstanceId": scene.node.as_str() }));
    assert_eq!(scene.admin(Operation::ListTagsForResource, &node).1, "InvalidResourceId");
}

#[test]
fn a_node_that_never_pinged_is_not_online() {
    let mut scene = Scene::new();
    assert_eq!(scene.found("PingStatus", "ConnectionLost"), 1);
    assert_eq!(scene.found("PingStatus", "Online"), 0);
    assert_eq!(scene.found("PlatformTypes", "Linux"), 0);
    assert_eq!(scene.found("SourceTypes", "AWS::SSM::ManagedInstance"), 1);
    assert_eq!(scene.found("ResourceType", "EC2Instance"), 0);
}

#[test]
fn a_node_is_deregistered_once() {
    let mut scene = Scene::new();
    let body = json!({ "InstanceId": scene.node.as_str() });
    scene.done(Operation::DeregisterManagedInstance, &body);
    let again = scene.admin(Operation::DeregisterManagedInstance, &body);
    assert_eq!(again.1, "InvalidInstanceId");
    let odd = scene.admin(Operation::DeregisterManagedInstance, &json!({ "InstanceId": "i-1" }));
    assert_eq!(odd.1, "ValidationException");
}

#[test]
fn the_settings_of_the_account_remember_who_changed_them() {
    let mut scene = Scene::new();
    let id = "/ssm/managed-instance/default-ec2-instance-management-role";
    let wish = json!({ "SettingId": id, "SettingValue": "Role" });
    scene.done(Operation::UpdateServiceSetting, &wish);
    let named = json!({ "SettingId": id });
    let set = scene.done(Operation::GetServiceSetting, &named);
    let by = &set["ServiceSetting"]["LastModifiedUser"];
    assert_eq!(by, "arn:aws:iam::000000000000:user/lab-admin");
    let reset = scene.done(Operation::ResetServiceSetting, &named);
    assert_eq!(reset["ServiceSetting"]["Status"], "Default");
}

#[test]
fn a_role_may_do_nothing_of_it() {
    let mut scene = Scene::new();
    let token = scene.token(NOW);
    for operation in [
        Operation::CreateActivation,
        Operation::DescribeActivations,
        Operation::DeleteActivation,
        Operation::DescribeInstanceInformation,
        Operation::UpdateManagedInstanceRole,
        Operation::AddTagsToResource,
        Operation::ListTagsForResource,
        Operation::RemoveTagsFromResource,
        Operation::GetServiceSetting,
        Operation::UpdateServiceSetting,
        Operation::ResetServiceSetting,
    ] {
        let request = role_signed(&token, plain(operation, &json!({})), "ssm", NOW);
        assert_eq!(scene.ask(&request, NOW).1, "AccessDeniedException", "{operation}");
    }
}

/// Values that some member somewhere takes, and that the others do not.
fn odd_value() -> impl Strategy<Value = Value> {
    let leaf = proptest::sample::select(vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(6),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("Role"),
        json!("ManagedInstance"),
        json!("mi-0123456789abcdef0"),
        json!("01234567-89ab-cdef-0123-456789abcdef"),
        json!("2026-11-23T00:00:00Z"),
        json!("\u{0}\u{fffd}%"),
        json!("PingStatus"),
    ]);
    leaf.prop_recursive(3, 12, 3, |inner| {
        let names = vec!["Key", "key", "Value", "Values", "valueSet", "FilterKey", "FilterValues"];
        proptest::prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(names), inner, 0..3)
                .prop_map(|members| json!(members)),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_wish_of_an_administrator_is_too_odd_for_an_answer(
        operation in proptest::sample::select(&Operation::ALL),
        members in proptest::collection::btree_map(
            proptest::sample::select(&[
                "IamRole", "RegistrationLimit", "ExpirationDate", "Tags", "DefaultInstanceName",
                "Filters", "InstanceInformationFilterList", "MaxResults", "NextToken",
                "ActivationId", "InstanceId", "ResourceType", "ResourceId", "TagKeys", "SettingId",
                "SettingValue",
            ][..]),
            odd_value(),
            0..6,
        ),
    ) {
        let mut service = Service::new("us-east-1".parse().unwrap(), HOUR, &SystemEntropy);
        let request = admin_signed(&service, operation, &json!(members), NOW);
        let (status, code, _) = seen(&service.answer(&request, &SystemEntropy, NOW));
        proptest::prop_assert!(status == 200 && code.is_empty() || status == 400);
    }
}

//! The operations that the lab knows.

use std::fmt;
use std::str::FromStr;

use super::message::Request;
use super::{ec2_instance, s3};

/// An AWS operation, under its own name; what a process asks the machine that it runs on has none,
/// and is called by what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    RegisterManagedInstance,
    RequestManagedInstanceRoleToken,
    UpdateManagedInstancePublicKey,
    UpdateInstanceInformation,
    CreateActivation,
    DescribeActivations,
    DeleteActivation,
    DescribeInstanceInformation,
    DeregisterManagedInstance,
    UpdateManagedInstanceRole,
    AddTagsToResource,
    ListTagsForResource,
    RemoveTagsFromResource,
    GetServiceSetting,
    UpdateServiceSetting,
    ResetServiceSetting,
    GetCallerIdentity,
    AssumeRole,
    ListBuckets,
    HeadBucket,
    ListObjectsV2,
    InstanceMetadata,
    ContainerCredentials,
}

/// How a request is worded, and therefore its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// AWS JSON 1.1, with `X-Amz-Target`: Systems Manager.
    Json,
    /// A form in, XML out: STS.
    Query,
    /// Method and path in, XML out: S3.
    Rest,
    /// Method and path in, text or JSON out, no signature: what an instance or a container asks.
    Metadata,
}

/// The name of no operation here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lab has no operation '{0}'; it has {list}", list = Operation::list())]
pub struct UnknownOperation(pub String);

impl Operation {
    pub const ALL: [Operation; 23] = [
        Operation::RegisterManagedInstance,
        Operation::RequestManagedInstanceRoleToken,
        Operation::UpdateManagedInstancePublicKey,
        Operation::UpdateInstanceInformation,
        Operation::CreateActivation,
        Operation::DescribeActivations,
        Operation::DeleteActivation,
        Operation::DescribeInstanceInformation,
        Operation::DeregisterManagedInstance,
        Operation::UpdateManagedInstanceRole,
        Operation::AddTagsToResource,
        Operation::ListTagsForResource,
        Operation::RemoveTagsFromResource,
        Operation::GetServiceSetting,
        Operation::UpdateServiceSetting,
        Operation::ResetServiceSetting,
        Operation::GetCallerIdentity,
        Operation::AssumeRole,
        Operation::ListBuckets,
        Operation::HeadBucket,
        Operation::ListObjectsV2,
        Operation::InstanceMetadata,
        Operation::ContainerCredentials,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Operation::RegisterManagedInstance => "RegisterManagedInstance",
            Operation::RequestManagedInstanceRoleToken => "RequestManagedInstanceRoleToken",
            Operation::UpdateManagedInstancePublicKey => "UpdateManagedInstancePublicKey",
            Operation::UpdateInstanceInformation => "UpdateInstanceInformation",
            Operation::CreateActivation => "CreateActivation",
            Operation::DescribeActivations => "DescribeActivations",
            Operation::DeleteActivation => "DeleteActivation",
            Operation::DescribeInstanceInformation => "DescribeInstanceInformation",
            Operation::DeregisterManagedInstance => "DeregisterManagedInstance",
            Operation::UpdateManagedInstanceRole => "UpdateManagedInstanceRole",
            Operation::AddTagsToResource => "AddTagsToResource",
            Operation::ListTagsForResource => "ListTagsForResource",
            Operation::RemoveTagsFromResource => "RemoveTagsFromResource",
            Operation::GetServiceSetting => "GetServiceSetting",
            Operation::UpdateServiceSetting => "UpdateServiceSetting",
            Operation::ResetServiceSetting => "ResetServiceSetting",
            Operation::GetCallerIdentity => "GetCallerIdentity",
            Operation::AssumeRole => "AssumeRole",
            Operation::ListBuckets => "ListBuckets",
            Operation::HeadBucket => "HeadBucket",
            Operation::ListObjectsV2 => "ListObjectsV2",
            Operation::InstanceMetadata => "InstanceMetadata",
            Operation::ContainerCredentials => "ContainerCredentials",
        }
    }

    /// The service's name in a credential scope.
    pub fn service(self) -> &'static str {
        match self.dialect() {
            Dialect::Json => "ssm",
            Dialect::Query => "sts",
            Dialect::Rest => s3::SERVICE,
            Dialect::Metadata => "imds",
        }
    }

    pub fn dialect(self) -> Dialect {
        match self {
            Operation::GetCallerIdentity | Operation::AssumeRole => Dialect::Query,
            Operation::ListBuckets | Operation::HeadBucket | Operation::ListObjectsV2 => {
                Dialect::Rest
            }
            Operation::InstanceMetadata | Operation::ContainerCredentials => Dialect::Metadata,
            _ => Dialect::Json,
        }
    }

    fn list() -> String {
        Operation::ALL.map(Operation::name).join(", ")
    }
}

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(name: &str) -> Result<Self, UnknownOperation> {
        Operation::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
            .ok_or_else(|| UnknownOperation(name.chars().take(60).collect()))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which operation a request asks for, by its `X-Amz-Target`, its form's `Action` or, signed for S3 or
/// below `/latest`, its path, and in which dialect.
pub fn requested(request: &Request) -> (Dialect, Result<Operation, UnknownOperation>) {
    if s3::is_s3(request) {
        return (Dialect::Rest, s3::requested(request));
    }
    if let Some(operation) = ec2_instance::requested(request) {
        return (Dialect::Metadata, Ok(operation));
    }
    if request.has_header("x-amz-target") {
        let target = request.header("x-amz-target").unwrap_or_default();
        let name = target.strip_prefix("AmazonSSM.").unwrap_or(target);
        return (Dialect::Json, in_dialect(name, Dialect::Json));
    }
    let form = request
        .header("content-type")
        .is_some_and(|sent| sent.starts_with("application/x-www-form-urlencoded"));
    if form {
        // No operation has a name that a form would escape.
        let action = std::str::from_utf8(&request.body)
            .unwrap_or_default()
            .split('&')
            .find_map(|field| field.strip_prefix("Action="))
            .unwrap_or_default();
        return (Dialect::Query, in_dialect(action, Dialect::Query));
    }
    (Dialect::Json, Err(UnknownOperation(String::new())))
}

fn in_dialect(name: &str, dialect: Dialect) -> Result<Operation, UnknownOperation> {
    name.parse::<Operation>().and_then(|operation| {
        if operation.dialect() == dialect {
            Ok(operation)
        } else {
            Err(UnknownOperation(name.to_owned()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(header: (&str, &str), body: &str) -> Request {
        Request {
            headers: vec![(header.0.into(), header.1.into())],
            body: body.into(),
            ..Request::default()
        }
    }

    #[test]
    fn names_read_back() {
        for operation in Operation::ALL {
            assert_eq!(operation.name().parse(), Ok(operation));
        }
    }

    #[test]
    fn a_target_or_a_form_names_the_operation() {
        let json = request(("X-Amz-Target", "AmazonSSM.CreateActivation"), "");
        assert_eq!(requested(&json), (Dialect::Json, Ok(Operation::CreateActivation)));
        let form = request(
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            "Version=2011-06-15&Action=GetCallerIdentity",
        );
        assert_eq!(requested(&form), (Dialect::Query, Ok(Operation::GetCallerIdentity)));
    }

    #[test]
    fn an_operation_of_the_other_dialect_is_unknown() {
        let json = request(("X-Amz-Target", "AmazonSSM.GetCallerIdentity"), "");
        assert!(requested(&json).1.is_err());
        assert!(requested(&Request::default()).1.is_err());
    }
}

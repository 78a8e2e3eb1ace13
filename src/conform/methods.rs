//! The methods of etcd's services, and their messages without types.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};

/// All that the model's protocol files define.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(vertebra_model::api::DESCRIPTORS).expect("the model's descriptors are whole")
});

/// The method that a path such as `/etcdserverpb.KV/Range` names, if there is one.
pub fn method(path: &str) -> Option<MethodDescriptor> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    POOL.get_service_by_name(service)?.methods().find(|known| known.name() == method)
}

/// The paths of all methods.
#[cfg(test)]
pub fn paths() -> impl Iterator<Item = String> {
    POOL.services().flat_map(|service| {
        let paths: Vec<_> =
            service.methods().map(|method| format!("/{}/{}", service.full_name(), method.name())).collect();
        paths
    })
}

/// A message in the JSON of protobuf.
pub fn to_json(message: &DynamicMessage) -> serde_json::Value {
    serde_json::to_value(message).expect("a message has a form in JSON")
}

/// The message that `json` is the form of.
///
/// # Errors
///
/// What is wrong with it.
pub fn from_json(
    descriptor: MessageDescriptor,
    json: serde_json::Value,
) -> Result<DynamicMessage, serde_json::Error> {
    DynamicMessage::deserialize(descriptor, json)
}

//! A message, field by field.

use bytes::Bytes;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use vertebra_sim::random::Stream;

use super::values::Values;

/// In so many of a million messages a field is set.
fn likelihood(field: &FieldDescriptor) -> u32 {
    match (field.parent_message().name(), field.name()) {
        ("Compare", "range_end") => 150_000,
        (_, "key" | "name" | "role" | "user" | "perm" | "election" | "revision" | "ID" | "TTL")
            if !matches!(field.parent_message().name(), "RangeRequest" | "HashKVRequest") =>
        {
            950_000
        }
        (_, "key") => 970_000,
        (_, "value" | "password" | "permType" | "peerURLs") => 850_000,
        (_, "range_end") => 550_000,
        ("RangeRequest", "revision") => 200_000,
        ("HashKVRequest", "revision") => 500_000,
        (_, "lease") => 180_000,
        (_, "start_revision") => 120_000,
        (_, "ignore_value" | "ignore_lease") => 80_000,
        (_, "min_mod_revision" | "max_mod_revision" | "min_create_revision" | "max_create_revision") => {
            70_000
        }
        (_, "keys_only" | "count_only" | "progress_notify" | "fragment" | "watch_id" | "filters") => 130_000,
        (_, "limit" | "physical" | "prev_kv") => 300_000,
        (_, "sort_order" | "sort_target") => 250_000,
        (_, "options" | "hashedPassword") => 60_000,
        (_, "serializable" | "linearizable") => 200_000,
        _ => 600_000,
    }
}

impl Values {
    /// A message of this type.
    pub fn message(&self, draw: &mut Stream, descriptor: &MessageDescriptor, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            if field.containing_oneof().is_some() {
                continue;
            }
            if field.is_list() {
                let count = self.count(draw, &field, depth);
                let values: Vec<Value> =
                    (0..count).map(|_| self.value(draw, &field, &message, depth)).collect();
                if !values.is_empty() {
                    message.set_field(&field, Value::List(values));
                }
            } else if draw.chance(likelihood(&field)) {
                let value = self.value(draw, &field, &message, depth);
                message.set_field(&field, value);
            }
        }
        for oneof in descriptor.oneofs() {
            let choices: Vec<FieldDescriptor> = oneof.fields().collect();
            if let Some(field) = self.choice(draw, &message, &choices, depth) {
                let value = self.value(draw, field, &message, depth);
                message.set_field(field, value);
            }
        }
        self.mend(draw, &mut message);
        if depth > 0 {
            return message;
        }
        // As it is read back: a field with the value that it has anyway is not set.
        DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice()).unwrap_or(message)
    }

    fn count(&self, draw: &mut Stream, field: &FieldDescriptor, depth: u32) -> u64 {
        let most = match (field.parent_message().name(), field.name()) {
            ("TxnRequest", "compare") => 2,
            ("TxnRequest", "success") => 4,
            ("TxnRequest", "failure") => 2,
            ("WatchCreateRequest", "filters") => return u64::from(draw.chance(150_000)) * draw.between(1, 2),
            _ => 1,
        };
        if depth == 0 && field.parent_message().name() == "TxnRequest" && draw.chance(5_000) {
            // The limit of operations.
            return draw.between(126, 130);
        }
        draw.between(0, most)
    }

    /// Which field of a oneof is set.
    fn choice<'a>(
        &self,
        draw: &mut Stream,
        message: &DynamicMessage,
        choices: &'a [FieldDescriptor],
        depth: u32,
    ) -> Option<&'a FieldDescriptor> {
        if draw.chance(15_000) {
            return None;
        }
        let named = |name: &str| choices.iter().find(|choice| choice.name() == name);
        match choices.first()?.parent_message().name() {
            "RequestOp" => {
                let nested = if depth < 5 { 10 } else { 0 };
                let name = *draw.weighted(&[
                    (40, "request_put"),
                    (35, "request_range"),
                    (15, "request_delete_range"),
                    (nested, "request_txn"),
                ]);
                named(name)
            }
            // As a rule what the target says.
            "Compare" if draw.chance(930_000) => {
                let target = message.get_field_by_name("target").and_then(|target| target.as_enum_number());
                let names = ["version", "create_revision", "mod_revision", "value", "lease"];
                named(names.get(usize::try_from(target.unwrap_or(0)).ok()?)?)
            }
            "WatchRequest" => {
                let name: &str = draw.weighted::<&str>(&[
                    (60, "create_request"),
                    (25, "cancel_request"),
                    (15, "progress_request"),
                ]);
                named(name)
            }
            _ => Some(draw.pick(choices)),
        }
    }

    fn value(
        &self,
        draw: &mut Stream,
        field: &FieldDescriptor,
        message: &DynamicMessage,
        depth: u32,
    ) -> Value {
        match field.kind() {
            Kind::Message(descriptor) => Value::Message(self.message(draw, &descriptor, depth + 1)),
            Kind::Bool => Value::Bool(true),
            Kind::Bytes => Value::Bytes(self.bytes(draw, field, message)),
            Kind::String => Value::String(self.text(draw, field)),
            Kind::Enum(descriptor) => {
                let known: Vec<i32> = descriptor.values().map(|value| value.number()).collect();
                // Less often in a transaction, all of which an unknown one spoils.
                let number = match draw.below(if depth == 0 { 60 } else { 300 }) {
                    0 => *draw.pick(&[-1, 5, 77, i32::MAX, i32::MIN]),
                    _ => *draw.pick(&known),
                };
                Value::EnumNumber(number)
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.number(draw, field)),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.member(draw)),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(draw.below(5) as i32 - 1),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(draw.below(5) as u32),
            Kind::Double => Value::F64(0.5),
            Kind::Float => Value::F32(0.5),
        }
    }

    /// Lets some of the requests make sense that chance would have refused.
    fn mend(&self, draw: &mut Stream, message: &mut DynamicMessage) {
        let is_set = |message: &DynamicMessage, name| message.has_field_by_name(name);
        let name = {
            use prost_reflect::ReflectMessage;
            message.descriptor().name().to_owned()
        };
        let text = |message: &DynamicMessage, name| {
            message
                .get_field_by_name(name)
                .and_then(|text| text.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        match name.as_str() {
            "PutRequest" => {
                for (flag, field) in [("ignore_value", "value"), ("ignore_lease", "lease")] {
                    if is_set(message, flag) && draw.chance(700_000) {
                        message.clear_field_by_name(field);
                    }
                }
            }
            // Old versions take also what no key is in, and differ from then on.
            "Permission" if draw.chance(800_000) => {
                let bytes = |message: &DynamicMessage, name| {
                    message
                        .get_field_by_name(name)
                        .and_then(|bytes| bytes.as_bytes().cloned())
                        .unwrap_or_default()
                };
                let (key, end) = (bytes(message, "key"), bytes(message, "range_end"));
                if key.is_empty() {
                    message.set_field_by_name("key", Value::Bytes(Bytes::from_static(b"a")));
                }
                if end <= key && end != "\0" {
                    message.clear_field_by_name("range_end");
                }
            }
            // Without a password of root, nobody could switch authentication off again.
            "AuthUserAddRequest" | "AuthUserChangePasswordRequest" if text(message, "name") == "root" => {
                message.clear_field_by_name("options");
                message.clear_field_by_name("hashedPassword");
                message.set_field_by_name("password", Value::String("root's".to_owned()));
            }
            // One more voter that never comes would leave a cluster of one without a quorum.
            "MemberAddRequest" => message.set_field_by_name("isLearner", Value::Bool(true)),
            // Nobody would find the member again.
            "MemberUpdateRequest" | "MemberRemoveRequest" => message.set_field_by_name("ID", Value::U64(7)),
            // A downgrade that is begun changes the cluster for good.
            "DowngradeRequest" => message.clear_field_by_name("action"),
            _ => {}
        }
    }
}

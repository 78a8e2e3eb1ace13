//! The order of keys that a range sorts by something in which they are equal.
//!
//! etcd sorts by Go's `sort.Sort`, which keeps no order among equals, and up to Go 1.18 does not from seven elements on, later from
//! thirteen. So these have the order of their keys in what is compared; and where a limit cuts through equals, it is left open which
//! of them are there.

use prost_reflect::{DynamicMessage, ReflectMessage, Value};

/// Fewer keep their order in every version.
const UNSTABLE_MIN: i64 = 7;

/// Brings `response` to `request` into an order that does not depend on the version.
pub fn order_equals(request: &DynamicMessage, response: &mut DynamicMessage) {
    match request.descriptor().name() {
        "RangeRequest" => order_range(request, response),
        "TxnRequest" => order_txn(request, response),
        _ => {}
    }
}

fn order_txn(request: &DynamicMessage, response: &mut DynamicMessage) {
    let succeeded =
        response.get_field_by_name("succeeded").is_some_and(|value| value.as_bool() == Some(true));
    let branch = request.get_field_by_name(if succeeded { "success" } else { "failure" });
    let Some(ops) = branch.as_ref().and_then(|value| value.as_list()) else { return };
    let Some(Value::List(answers)) = response.get_field_by_name_mut("responses") else { return };
    for (op, answer) in ops.iter().zip(answers) {
        let (Some(op), Some(answer)) = (op.as_message(), answer.as_message_mut()) else { continue };
        for (asked, answered) in [("request_range", "response_range"), ("request_txn", "response_txn")] {
            let is_there = |message: &DynamicMessage, name| message.has_field_by_name(name);
            if !is_there(op, asked) || !is_there(answer, answered) {
                continue;
            }
            let request = op.get_field_by_name(asked);
            let response = answer.get_field_by_name_mut(answered).and_then(Value::as_message_mut);
            if let Some((request, response)) =
                request.as_ref().and_then(|value| value.as_message()).zip(response)
            {
                order_equals(request, response);
            }
        }
    }
}

fn order_range(request: &DynamicMessage, response: &mut DynamicMessage) {
    let number = |message: &DynamicMessage, name: &str| {
        message.get_field_by_name(name).map_or(0, |value| match &*value {
            Value::EnumNumber(number) => i64::from(*number),
            value => value.as_i64().unwrap_or_default(),
        })
    };
    let sorted_by = match number(request, "sort_target") {
        1 => "version",
        2 => "create_revision",
        3 => "mod_revision",
        4 => "value",
        _ => return,
    };
    if number(response, "count") < UNSTABLE_MIN {
        return;
    }
    let more = response.get_field_by_name("more").is_some_and(|value| value.as_bool() == Some(true));
    let Some(Value::List(kvs)) = response.get_field_by_name_mut("kvs") else { return };
    let field = |kv: &Value, name: &str| {
        let kv = kv.as_message()?;
        Some(match &*kv.get_field_by_name(name)? {
            Value::Bytes(bytes) => bytes.to_vec(),
            value => value.as_i64()?.to_be_bytes().to_vec(),
        })
    };
    for equals in kvs.chunk_by_mut(|one, other| field(one, sorted_by) == field(other, sorted_by)) {
        equals.sort_by_cached_key(|kv| field(kv, "key"));
    }
    if more {
        let last = kvs.last().and_then(|kv| field(kv, sorted_by));
        for kv in kvs.iter_mut().rev().take_while(|kv| field(kv, sorted_by) == last) {
            if let Some(kv) = kv.as_message_mut() {
                ["key", "version", "create_revision", "mod_revision", "value", "lease"]
                    .into_iter()
                    .filter(|name| *name != sorted_by)
                    .for_each(|name| kv.clear_field_by_name(name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::prost::Message as _;
    use vertebra_model::api::mvccpb::KeyValue;
    use vertebra_model::api::range_request::SortTarget;
    use vertebra_model::api::request_op::Request;
    use vertebra_model::api::response_op::Response;
    use vertebra_model::api::{RangeRequest, RangeResponse, RequestOp, ResponseOp, TxnRequest, TxnResponse};

    use super::*;
    use crate::conform::methods;

    fn dynamic(path: &str, is_request: bool, message: &impl prost_reflect::prost::Message) -> DynamicMessage {
        let method = methods::method(path).expect("it is one of etcd's");
        let descriptor = if is_request { method.input() } else { method.output() };
        DynamicMessage::decode(descriptor, &message.encode_to_vec()[..]).expect("it is of this method")
    }

    /// Keys in this order, each of a version.
    fn response(kvs: &[(&str, i64)], count: i64) -> RangeResponse {
        let kv = |(key, version): &(&str, i64)| KeyValue {
            key: key.to_string().into(),
            version: *version,
            ..KeyValue::default()
        };
        let more = count > kvs.len() as i64;
        RangeResponse { kvs: kvs.iter().map(kv).collect(), count, more, ..RangeResponse::default() }
    }

    fn keys(response: &RangeResponse) -> Vec<String> {
        response.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
    }

    fn ordered(target: SortTarget, response: RangeResponse) -> Vec<String> {
        let request = RangeRequest { sort_target: target.into(), ..RangeRequest::default() };
        let path = "/etcdserverpb.KV/Range";
        let (request, mut response) = (dynamic(path, true, &request), dynamic(path, false, &response));
        order_equals(&request, &mut response);
        keys(&RangeResponse::decode(&response.encode_to_vec()[..]).expect("it is one"))
    }

    #[test]
    fn equals_have_the_order_of_their_keys_and_the_others_stay() {
        let kvs = [("g", 1), ("a", 1), ("b", 1), ("f", 2), ("c", 2), ("d", 3), ("e", 3)];
        assert_eq!(ordered(SortTarget::Version, response(&kvs, 7)), ["a", "b", "g", "c", "f", "d", "e"]);
        assert_eq!(ordered(SortTarget::Key, response(&kvs, 7)), ["g", "a", "b", "f", "c", "d", "e"]);
        // A limit has cut through those of version 2, or has not.
        assert_eq!(ordered(SortTarget::Version, response(&kvs[..5], 7)), ["a", "b", "g", "", ""]);
    }

    #[test]
    fn so_few_that_no_version_mixes_them_stay_as_they_are() {
        assert_eq!(ordered(SortTarget::Version, response(&[("b", 1), ("a", 1)], 2)), ["b", "a"]);
    }

    #[test]
    fn ranges_in_transactions_are_ordered_too() {
        let range = RangeRequest { sort_target: SortTarget::Version.into(), ..RangeRequest::default() };
        let inner = TxnRequest {
            failure: vec![RequestOp { request: Some(Request::RequestRange(range)) }],
            ..TxnRequest::default()
        };
        let request = TxnRequest {
            success: vec![RequestOp { request: Some(Request::RequestTxn(inner)) }],
            ..TxnRequest::default()
        };
        let range = response(&[("b", 1), ("a", 1)], 9);
        let answer = |response| ResponseOp { response: Some(response) };
        let inner =
            TxnResponse { responses: vec![answer(Response::ResponseRange(range))], ..TxnResponse::default() };
        let outer = TxnResponse {
            succeeded: true,
            responses: vec![answer(Response::ResponseTxn(inner))],
            ..TxnResponse::default()
        };
        let path = "/etcdserverpb.KV/Txn";
        let mut told = dynamic(path, false, &outer);
        order_equals(&dynamic(path, true, &request), &mut told);
        let told = TxnResponse::decode(&told.encode_to_vec()[..]).expect("it is one");
        let Some(Response::ResponseTxn(inner)) = &told.responses[0].response else { panic!("{told:?}") };
        let Some(Response::ResponseRange(range)) = &inner.responses[0].response else { panic!("{told:?}") };
        // There are more, and all that are here are equal.
        assert_eq!(keys(range), ["", ""]);
    }
}

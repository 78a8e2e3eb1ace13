//! The form of the reports of etcd's robustness tests, with each field that etcd's own code has and with no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

type Keys = Option<Vec<Kv>>;

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Operation {
    client_id: i64,
    input: Input,
    call: i64,
    output: Output,
    r#return: i64,
    metadata: Output,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Input {
    r#type: String,
    #[serde(deserialize_with = "present")]
    lease_grant: Option<Lease>,
    #[serde(deserialize_with = "present")]
    lease_revoke: Option<Lease>,
    #[serde(deserialize_with = "present")]
    range: Option<Range>,
    #[serde(deserialize_with = "present")]
    txn: Option<Txn>,
    #[serde(deserialize_with = "present")]
    defragment: Option<Nothing>,
    #[serde(deserialize_with = "present")]
    compact: Option<Compact>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Lease {
    #[serde(rename = "LeaseID")]
    _id: i64,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Compact {
    #[serde(rename = "Revision")]
    _revision: i64,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Range {
    start: String,
    end: String,
    limit: i64,
    keys_only: bool,
    revision: i64,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Span {
    start: String,
    end: String,
    limit: i64,
    keys_only: bool,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Txn {
    #[serde(deserialize_with = "present")]
    conditions: Option<Vec<Condition>>,
    #[serde(deserialize_with = "present")]
    operations_on_success: Option<Vec<Step>>,
    #[serde(deserialize_with = "present")]
    operations_on_failure: Option<Vec<Step>>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Condition {
    key: String,
    expected_revision: i64,
    expected_version: i64,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Step {
    r#type: String,
    range: Span,
    put: Put,
    delete: Delete,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Put {
    key: String,
    value: ValueOrHash,
    #[serde(rename = "LeaseID")]
    lease: i64,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Delete {
    key: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ValueOrHash {
    value: Option<String>,
    hash: Option<u32>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Output {
    #[serde(deserialize_with = "present")]
    txn: Option<TxnOutput>,
    #[serde(deserialize_with = "present")]
    range: Option<RangeOutput>,
    #[serde(deserialize_with = "present")]
    lease_grant: Option<Lease>,
    #[serde(deserialize_with = "present")]
    lease_revoke: Option<Nothing>,
    #[serde(deserialize_with = "present")]
    defragment: Option<Nothing>,
    #[serde(deserialize_with = "present")]
    compact: Option<Nothing>,
    client_error: String,
    revision: i64,
    #[serde(rename = "member-id")]
    member: Option<String>,
    persisted: bool,
    persisted_revision: i64,
    error: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TxnOutput {
    failure: bool,
    /// In Go's comparison, an empty list is another thing than none.
    results: Vec<StepOutput>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StepOutput {
    #[serde(rename = "KVs", deserialize_with = "present")]
    kvs: Keys,
    count: i64,
    deleted: i64,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RangeOutput {
    #[serde(rename = "KVs")]
    kvs: Vec<Kv>,
    count: i64,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Kv {
    key: String,
    value: ValueOrHash,
    mod_revision: Option<i64>,
    version: Option<i64>,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Watch {
    request: WatchRequest,
    #[serde(default)]
    responses: Vec<WatchResponse>,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WatchRequest {
    #[serde(rename = "Key")]
    _key: String,
    revision: i64,
    #[serde(rename = "WithPrefix")]
    _with_prefix: bool,
    #[serde(rename = "WithProgressNotify")]
    _with_progress_notify: bool,
    #[serde(rename = "WithPrevKV")]
    with_prev_kv: bool,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WatchResponse {
    #[serde(default)]
    events: Vec<WatchEvent>,
    #[serde(default)]
    is_progress_notify: bool,
    #[serde(default)]
    revision: i64,
    time: i64,
    error: Option<String>,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WatchEvent {
    r#type: String,
    #[serde(rename = "Key")]
    _key: Option<String>,
    value: ValueOrHash,
    revision: i64,
    #[serde(default)]
    is_create: bool,
    prev_value: Option<Previous>,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Previous {
    value: ValueOrHash,
    #[serde(rename = "ModRevision")]
    _mod_revision: i64,
    #[serde(rename = "Version")]
    _version: i64,
}

/// What is `null` must stand there.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

#[track_caller]
fn objects<T: DeserializeOwned>(file: &Path) -> Vec<T> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let objects = serde_json::Deserializer::from_str(&text).into_iter();
    objects.map(|object| object.unwrap_or_else(|error| panic!("{}: {error}", file.display()))).collect()
}

impl ValueOrHash {
    fn holds(&self) {
        assert!(self.value.is_none() || self.hash.is_none());
        assert!(self.value.as_ref().is_none_or(|value| !value.is_empty() && value.len() < 20), "{self:?}");
    }
}

/// Holds a report against etcd's own types, and what its code takes for granted: that a client does one thing at a time, and that
/// each answer is of the kind that was asked for. Returns the kinds of things that it tells.
#[track_caller]
pub fn holds_to_the_form(folder: &Path) -> BTreeSet<String> {
    let (mut kinds, mut busy_until) = (BTreeSet::new(), BTreeMap::new());
    assert_eq!(fs::read_to_string(folder.join("traffic.json")).expect("it is there"), "{}");
    for entry in fs::read_dir(folder).expect("it is there") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let Some(number) = name.strip_prefix("client-") else {
            assert_eq!(name, "traffic.json");
            continue;
        };
        assert!(number.parse::<u32>().is_ok(), "{name}");
        let (operations, watches) = (entry.path().join("operations.json"), entry.path().join("watch.json"));
        assert!(operations.exists() || watches.exists(), "{name}");
        if operations.exists() {
            for operation in objects::<Operation>(&operations) {
                let until = busy_until.entry(operation.client_id).or_insert(0);
                assert!(operation.call > *until && operation.r#return > operation.call, "{operation:?}");
                *until = operation.r#return;
                holds(&operation, &mut kinds);
            }
        }
        if watches.exists() {
            objects::<Watch>(&watches).iter().for_each(told);
            kinds.insert("watch".to_owned());
        }
    }
    kinds
}

#[track_caller]
fn holds(operation: &Operation, kinds: &mut BTreeSet<String>) {
    let Operation { input, output, metadata, .. } = operation;
    assert_eq!(output, metadata);
    let asked = [
        ("leaseGrant", input.lease_grant.is_some()),
        ("leaseRevoke", input.lease_revoke.is_some()),
        ("range", input.range.is_some()),
        ("txn", input.txn.is_some()),
        ("defragment", input.defragment.is_some()),
        ("compact", input.compact.is_some()),
    ];
    assert!(asked.iter().all(|(kind, is_there)| *is_there == (input.r#type == *kind)), "{operation:?}");
    kinds.insert(input.r#type.clone());
    let answered = [
        ("leaseGrant", output.lease_grant.is_some()),
        ("leaseRevoke", output.lease_revoke.is_some()),
        ("range", output.range.is_some()),
        ("txn", output.txn.is_some()),
        ("defragment", output.defragment.is_some()),
        ("compact", output.compact.is_some()),
    ];
    let is_answered = output.error.is_empty() && output.client_error.is_empty() && !output.persisted;
    for (kind, is_there) in answered {
        assert_eq!(is_there, is_answered && input.r#type == kind, "{operation:?}");
    }
    match &output.client_error[..] {
        "" => {}
        "mvcc: required revision has been compacted" | "mvcc: required revision is a future revision" => {
            assert_eq!(input.r#type, "compact");
        }
        other => panic!("{other}"),
    }
    assert_eq!(output.persisted, output.persisted_revision > 0, "{operation:?}");
    assert!(output.member.as_ref().is_none_or(|member| u64::from_str_radix(member, 16).is_ok()));
    match &input.r#type[..] {
        "compact" if is_answered => assert_eq!(output.revision, -1),
        _ if is_answered => assert!(output.revision > 0, "{operation:?}"),
        _ => assert_eq!(output.revision, 0, "{operation:?}"),
    }
    if let (Some(range), Some(found)) = (&input.range, &output.range) {
        assert!(range.revision >= 0 && range.limit >= 0 && !range.start.is_empty());
        keys(range.keys_only, &range.end, &found.kvs);
        assert!(found.kvs.len() as i64 <= found.count, "{operation:?}");
    }
    if let Some(txn) = &input.txn {
        of_txn(txn, output.txn.as_ref(), kinds);
    }
}

/// In order, and without a value if only names were asked for.
#[track_caller]
fn keys(keys_only: bool, end: &str, kvs: &[Kv]) {
    assert!(kvs.windows(2).all(|pair| pair[0].key < pair[1].key), "{kvs:?}");
    assert!(!keys_only || !end.is_empty());
    for kv in kvs {
        kv.value.holds();
        assert!(
            kv.mod_revision.is_some_and(|revision| revision > 1)
                && kv.version.is_some_and(|version| version > 0)
        );
        assert!(!keys_only || kv.value == ValueOrHash { value: None, hash: None }, "{kv:?}");
    }
}

#[track_caller]
fn of_txn(txn: &Txn, answer: Option<&TxnOutput>, kinds: &mut BTreeSet<String>) {
    for condition in txn.conditions.iter().flatten() {
        assert!(!condition.key.is_empty());
        assert!(condition.expected_version == 0 || condition.expected_revision == 0, "{condition:?}");
    }
    for step in txn.operations_on_success.iter().chain(&txn.operations_on_failure).flatten() {
        let Step { r#type, range, put, delete } = step;
        let named = [
            ("range-operation", !range.start.is_empty()),
            // A restored cluster puts the empty key.
            ("put-operation", !put.key.is_empty() || put.lease != 0 || put.value.value.is_some()),
            ("delete-operation", !delete.key.is_empty()),
        ];
        for (kind, is_there) in named {
            assert!(!is_there || kind == r#type, "{step:?}");
        }
        assert!(!(range.keys_only && range.end.is_empty()) && range.limit >= 0, "{step:?}");
        put.value.holds();
        kinds.insert(r#type.clone());
    }
    let Some(answer) = answer else { return };
    let taken = if answer.failure { &txn.operations_on_failure } else { &txn.operations_on_success };
    let taken = taken.as_deref().unwrap_or_default();
    assert_eq!(taken.len(), answer.results.len(), "{txn:?}: {answer:?}");
    for (step, result) in taken.iter().zip(&answer.results) {
        assert_eq!(result.kvs.is_some(), step.r#type == "range-operation", "{step:?}: {result:?}");
        assert!(result.deleted == 0 || step.r#type == "delete-operation" && result.deleted == 1);
        if let Some(kvs) = &result.kvs {
            keys(step.range.keys_only, &step.range.end, kvs);
            assert!(kvs.len() as i64 <= result.count);
        } else {
            assert_eq!(result.count, 0);
        }
    }
}

#[track_caller]
fn told(watch: &Watch) {
    assert!(watch.request.revision >= 0);
    let mut time = 0;
    for response in &watch.responses {
        assert!(response.time >= time && response.time > 0, "{response:?}");
        time = response.time;
        let is_error = response.error.as_ref().is_some_and(|error| !error.is_empty());
        assert_eq!(response.is_progress_notify, response.events.is_empty() && !is_error, "{response:?}");
        assert!(is_error || response.revision > 0, "{response:?}");
        for event in &response.events {
            event.value.holds();
            let is_put = event.r#type == "put-operation";
            assert!(is_put || event.r#type == "delete-operation" && !event.is_create, "{event:?}");
            assert!(
                event.revision > 1 && (watch.request.with_prev_kv || event.prev_value.is_none()),
                "{event:?}"
            );
            event.prev_value.iter().for_each(|previous| previous.value.holds());
        }
    }
}

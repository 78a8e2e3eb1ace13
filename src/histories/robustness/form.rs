//! The objects of a report, field by field as etcd's code writes them. Where that leaves out what is empty, it may be missing when
//! one is read; where it writes `null`, that is `None` here.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// From so many bytes on, a value is kept as its hash.
const VALUE_BYTES: usize = 20;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An operation of a client. Times are nanoseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Operation {
    #[serde(rename = "ClientId")]
    pub client: i64,
    #[serde(rename = "Input")]
    pub input: Input,
    #[serde(rename = "Call")]
    pub call: i64,
    #[serde(rename = "Output")]
    pub output: Output,
    #[serde(rename = "Return")]
    pub returned: i64,
}

/// What was asked.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Input {
    pub r#type: String,
    pub lease_grant: Option<Lease>,
    pub lease_revoke: Option<Lease>,
    pub range: Option<Range>,
    pub txn: Option<Txn>,
    #[serde(default)]
    pub defragment: Option<Nothing>,
    pub compact: Option<Compact>,
}

/// The name of a lease; 0 where nobody heard it.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Lease {
    #[serde(rename = "LeaseID", default)]
    pub id: i64,
}

/// An object without fields.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Nothing {}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Compact {
    pub revision: i64,
}

/// Which keys are read: one, or those below `end`.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Span {
    pub start: String,
    pub end: String,
    pub limit: i64,
    pub keys_only: bool,
}

/// A read, of the present if its revision is 0.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Range {
    #[serde(flatten)]
    pub span: Span,
    pub revision: i64,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Txn {
    #[serde(default)]
    pub conditions: Option<Vec<Condition>>,
    #[serde(default)]
    pub operations_on_success: Option<Vec<Step>>,
    #[serde(default)]
    pub operations_on_failure: Option<Vec<Step>>,
}

/// That a key has this version, if one is given, and is of this revision otherwise.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Condition {
    pub key: String,
    pub expected_revision: i64,
    pub expected_version: i64,
}

/// An operation of a transaction: what its type says counts, and the rest is empty.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Step {
    pub r#type: String,
    #[serde(default)]
    pub range: Span,
    #[serde(default)]
    pub put: Put,
    #[serde(default)]
    pub delete: Delete,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Put {
    pub key: String,
    pub value: Value,
    #[serde(rename = "LeaseID")]
    pub lease: i64,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Delete {
    pub key: String,
}

/// A value, or its hash (FNV-1a of 32 bits).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Value {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    #[serde(skip_serializing_if = "is_default")]
    pub hash: u32,
}

/// What came of an operation.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Output {
    #[serde(default)]
    pub txn: Option<TxnOutput>,
    #[serde(default)]
    pub range: Option<RangeOutput>,
    #[serde(default)]
    pub lease_grant: Option<Lease>,
    #[serde(default)]
    pub lease_revoke: Option<Nothing>,
    #[serde(default)]
    pub defragment: Option<Nothing>,
    #[serde(default)]
    pub compact: Option<Nothing>,
    #[serde(default)]
    pub client_error: String,
    #[serde(default)]
    pub revision: i64,
    #[serde(default, rename = "member-id", skip_serializing_if = "String::is_empty")]
    pub member: String,
    /// It was done, though nobody heard its answer: at this revision, if that is known.
    #[serde(default)]
    pub persisted: bool,
    #[serde(default)]
    pub persisted_revision: i64,
    #[serde(default)]
    pub error: String,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TxnOutput {
    pub failure: bool,
    #[serde(default)]
    pub results: Option<Vec<StepOutput>>,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StepOutput {
    #[serde(rename = "KVs")]
    pub kvs: Option<Vec<Kv>>,
    pub count: i64,
    pub deleted: i64,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RangeOutput {
    #[serde(rename = "KVs")]
    pub kvs: Option<Vec<Kv>>,
    pub count: i64,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Kv {
    pub key: String,
    #[serde(flatten)]
    pub of: ValueRevision,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ValueRevision {
    pub value: Value,
    #[serde(skip_serializing_if = "is_default")]
    pub mod_revision: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub version: i64,
}

/// A watch, and what it was told.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Watch {
    pub request: WatchRequest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses: Option<Vec<WatchTold>>,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WatchRequest {
    pub key: String,
    pub revision: i64,
    pub with_prefix: bool,
    pub with_progress_notify: bool,
    #[serde(rename = "WithPrevKV")]
    pub with_prev_kv: bool,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WatchTold {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventTold>>,
    #[serde(skip_serializing_if = "is_default")]
    pub is_progress_notify: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub revision: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub time: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventTold {
    pub r#type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    #[serde(default)]
    pub value: Value,
    #[serde(default, skip_serializing_if = "is_default")]
    pub revision: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub is_create: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_value: Option<ValueRevision>,
}

/// FNV-1a of 32 bits.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619))
}

impl Value {
    /// As a report keeps a value: short ones whole.
    pub fn of(value: &[u8]) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) if value.len() < VALUE_BYTES => Self { value: text.to_owned(), hash: 0 },
            _ => Self { value: String::new(), hash: hash(value) },
        }
    }

    /// Bytes that stand for the value: itself if it is short. No text has the first of the others.
    pub fn bytes(self) -> Bytes {
        let hash = match (self.value.len(), self.hash) {
            (VALUE_BYTES.., _) => hash(self.value.as_bytes()),
            (_, 0) => return self.value.into(),
            (_, hash) => hash,
        };
        [&b"\xff"[..], format!("{hash:08x}").as_bytes()].concat().into()
    }
}

/// The first key behind all that begin with `prefix`, as a request has it.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let kept = prefix.iter().rposition(|byte| *byte < 0xff);
    let Some(last) = kept else { return Bytes::from_static(b"\0") };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

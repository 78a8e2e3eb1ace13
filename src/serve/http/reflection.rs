//! gRPC's server reflection: which services there are, and what their messages look like.
//!
//! Both versions of it have the same messages, under two names. They are few, and stand here.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::Frame;
use prost::Message;
use prost_reflect::{DescriptorPool, FileDescriptor};
use vertebra_model::error::Code;
use vertebra_model::grpc::Status;

use super::frames::{Ended, Messages, framed};
use super::grpc::trailers;
use super::{Body, Service};

/// Which of the versions is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    V1,
    V1Alpha,
}

impl Version {
    const ALL: [Self; 2] = [Self::V1, Self::V1Alpha];

    fn service(self) -> &'static str {
        match self {
            Self::V1 => "grpc.reflection.v1.ServerReflection",
            Self::V1Alpha => "grpc.reflection.v1alpha.ServerReflection",
        }
    }

    /// The version that a path is of.
    pub fn of(path: &str) -> Option<Self> {
        let service = path.strip_prefix('/')?.strip_suffix("/ServerReflectionInfo")?;
        Self::ALL.into_iter().find(|version| version.service() == service)
    }
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(oneof = "Question", tags = "3, 4, 5, 6, 7")]
    question: Option<Question>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Question {
    #[prost(string, tag = "3")]
    FileByFilename(String),
    #[prost(string, tag = "4")]
    FileContainingSymbol(String),
    #[prost(message, tag = "5")]
    FileContainingExtension(Extension),
    #[prost(string, tag = "6")]
    AllExtensionNumbersOfType(String),
    #[prost(string, tag = "7")]
    ListServices(String),
}

#[derive(Clone, PartialEq, Message)]
struct Extension {
    #[prost(string, tag = "1")]
    containing_type: String,
    #[prost(int32, tag = "2")]
    extension_number: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(string, tag = "1")]
    valid_host: String,
    #[prost(message, optional, tag = "2")]
    original_request: Option<Request>,
    #[prost(oneof = "Said", tags = "4, 5, 6, 7")]
    said: Option<Said>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Said {
    #[prost(message, tag = "4")]
    Files(Files),
    #[prost(message, tag = "5")]
    ExtensionNumbers(ExtensionNumbers),
    #[prost(message, tag = "6")]
    Services(Services),
    #[prost(message, tag = "7")]
    Error(Failure),
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct ExtensionNumbers {
    #[prost(string, tag = "1")]
    base_type_name: String,
    #[prost(int32, repeated, tag = "2")]
    numbers: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    services: Vec<ServiceName>,
}

#[derive(Clone, PartialEq, Message)]
struct ServiceName {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Failure {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Answers the questions of a call, one after the other.
pub fn answer(service: Arc<Service>, version: Version, messages: Messages) -> Response<Body> {
    let frames = unfold(Some(messages), move |messages| {
        let service = Arc::clone(&service);
        async move {
            let mut messages = messages?;
            let (frame, left) = match messages.next().await {
                Ok(bytes) => match Request::decode(bytes) {
                    Ok(request) => {
                        let answer = said(&service.pool, version, request).encode_to_vec();
                        (Frame::data(framed(&answer.into())), Some(messages))
                    }
                    Err(error) => {
                        let text = format!("grpc: error unmarshalling request: {error}");
                        (Frame::trailers(trailers(&Status::new(Code::Internal, text))), None)
                    }
                },
                Err(Ended::Well) => (Frame::trailers(trailers(&Status::OK)), None),
                Err(Ended::Wrong(status)) => (Frame::trailers(trailers(&status)), None),
                Err(Ended::Gone) => return None,
            };
            Some((frame, left))
        }
    });
    let mut response = Response::new(Frames(frames.boxed()).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

struct Frames(BoxStream<'static, Frame<Bytes>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll_next(context)).map(Ok))
    }
}

fn said(pool: &DescriptorPool, version: Version, request: Request) -> Answer {
    let missing = |what: String| {
        Said::Error(Failure { code: i32::from(Code::NotFound as u8), message: format!("{what} not found") })
    };
    let said = match request.question.clone() {
        Some(Question::FileByFilename(name)) => match pool.get_file_by_name(&name) {
            Some(file) => Said::Files(files(&file)),
            None => missing(format!("file {name:?}")),
        },
        Some(Question::FileContainingSymbol(symbol)) => match file_of(pool, symbol.trim_start_matches('.')) {
            Some(file) => Said::Files(files(&file)),
            None => missing(format!("symbol {symbol:?}")),
        },
        Some(Question::FileContainingExtension(Extension { containing_type, extension_number })) => {
            missing(format!("extension {extension_number} of {containing_type:?}"))
        }
        Some(Question::AllExtensionNumbersOfType(name)) => match pool.get_message_by_name(&name) {
            Some(_) => Said::ExtensionNumbers(ExtensionNumbers { base_type_name: name, numbers: Vec::new() }),
            None => missing(format!("type {name:?}")),
        },
        Some(Question::ListServices(_)) => {
            let own = Version::ALL.into_iter().map(|version| version.service().to_owned());
            let names = pool.services().map(|service| service.full_name().to_owned()).chain(own);
            let mut services: Vec<_> = names.map(|name| ServiceName { name }).collect();
            services.sort_by(|one, other| one.name.cmp(&other.name));
            Said::Services(Services { services })
        }
        None => Said::Error(Failure {
            code: i32::from(Code::InvalidArgument as u8),
            message: format!("{}: a question is missing", version.service()),
        }),
    };
    Answer { valid_host: request.host.clone(), original_request: Some(request), said: Some(said) }
}

/// The file in which a service, a method, a message, a field or an enumeration stands.
fn file_of(pool: &DescriptorPool, symbol: &str) -> Option<FileDescriptor> {
    let found = |symbol: &str| {
        let service = pool.get_service_by_name(symbol).map(|service| service.parent_file());
        let message = || pool.get_message_by_name(symbol).map(|message| message.parent_file());
        let enumeration = || pool.get_enum_by_name(symbol).map(|known| known.parent_file());
        service.or_else(message).or_else(enumeration)
    };
    found(symbol).or_else(|| found(symbol.rsplit_once('.')?.0))
}

/// A file, behind those that it needs.
fn files(file: &FileDescriptor) -> Files {
    fn gather(file: &FileDescriptor, names: &mut Vec<String>, files: &mut Vec<Vec<u8>>) {
        if names.iter().any(|known| known == file.name()) {
            return;
        }
        names.push(file.name().to_owned());
        file.dependencies().for_each(|needed| gather(&needed, names, files));
        files.push(file.encode_to_vec());
    }
    let mut found = Files::default();
    gather(file, &mut Vec::new(), &mut found.files);
    // The one that was asked for comes first.
    found.files.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(question: Question) -> Said {
        let pool = DescriptorPool::decode(vertebra_model::api::DESCRIPTORS).expect("descriptors");
        let request = Request { host: String::new(), question: Some(question) };
        said(&pool, Version::V1, request).said.expect("an answer")
    }

    #[test]
    fn services_and_their_files_are_found_by_name() {
        let Said::Services(Services { services }) = ask(Question::ListServices("*".to_owned())) else {
            panic!("no services")
        };
        for known in ["etcdserverpb.KV", "etcdserverpb.Watch", "grpc.reflection.v1.ServerReflection"] {
            assert!(
                services.iter().any(|service| service.name == known),
                "{known} is not among {services:?}"
            );
        }
        for symbol in ["etcdserverpb.KV", "etcdserverpb.KV.Range", "etcdserverpb.RangeRequest.SortOrder"] {
            let said = ask(Question::FileContainingSymbol(symbol.to_owned()));
            assert!(matches!(&said, Said::Files(Files { files }) if !files.is_empty()), "{symbol}: {said:?}");
        }
        assert!(matches!(ask(Question::FileContainingSymbol("no.such".to_owned())), Said::Error(_)));
    }
}

//! The Watch service, by the streams that the member has for its own clients.

use prost::Message;

use super::call::{Call, Received, decode_of_stream};
use super::{Failure, Server};
use crate::error::Error;
use crate::grpc::Status;
use crate::member::watch_server::{self, Ended, Transport};
use crate::member::window::Window;
use crate::wire::{WatchDown, WatchUp};

/// A call as the transport of a stream of watches.
struct WatchCall<'a>(&'a Call);

impl Server {
    pub(super) async fn watch(&self, call: &Call) -> Result<(), Failure> {
        let draws = self.draws.get_or_init(|| self.member.node.stream("grpc watch").into());
        match watch_server::serve_stream(&self.member, draws, &WatchCall(call), call.token.clone()).await {
            Some(status) => Err(status.into()),
            None => Err(Failure::Over),
        }
    }
}

impl Transport for WatchCall<'_> {
    async fn receive(&self) -> Result<WatchUp, Option<Status>> {
        match self.0.receive().await {
            Ok(Some(Received { bytes, .. })) => Ok(WatchUp::Request(decode_of_stream(bytes)?)),
            // As in etcd: who asks for nothing more is told what there is all the same.
            Ok(None) => {
                self.0.cancelled().await;
                Err(None)
            }
            Err(Failure::Status(status)) => Err(Some(status)),
            Err(Failure::Over) => Err(None),
        }
    }

    fn send(&self, message: WatchDown) -> Result<(), Ended> {
        self.0.send_at_once(message.0.encode_to_vec().into());
        Ok(())
    }

    fn window(&self) -> &Window {
        self.0.window()
    }

    /// In place of its text, the text of its status, as etcd has it.
    fn reason(error: Error) -> String {
        format!("rpc error: code = {:?} desc = {error}", error.code())
    }
}

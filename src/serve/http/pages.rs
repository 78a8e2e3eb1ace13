//! `/version` and `/health`.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use prost::Message;
use serde::Serialize;
use vertebra_model::api::{AlarmRequest, AlarmResponse, AlarmType, RangeRequest, alarm_request};
use vertebra_model::grpc::{Metadata, Status};
use vertebra_model::served;

use super::{Body, Endpoint, json};

/// etcd's own, for the read that tells health.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which etcd the members are like.
#[derive(Serialize)]
struct Version {
    etcdserver: &'static str,
    etcdcluster: &'static str,
}

pub fn version() -> Response<Body> {
    let version = Version { etcdserver: served::VERSION, etcdcluster: served::CLUSTER_VERSION };
    json(StatusCode::OK, serde_json::to_vec(&version).unwrap_or_default())
}

#[derive(Serialize)]
struct Health<'a> {
    health: &'a str,
    reason: &'a str,
}

impl Endpoint {
    /// As etcd has it: no alarm that is not left out, and a read that is answered.
    pub(super) async fn health(&self, query: Option<&str>) -> Response<Body> {
        let query = query.unwrap_or_default();
        let given = |name: &'static str| {
            query.split('&').filter_map(move |pair| pair.split_once('=')).filter(move |pair| pair.0 == name)
        };
        let excluded = |alarm: &str| given("exclude").any(|(_, value)| value == alarm);
        let serializable = given("serializable").any(|(_, value)| value == "true");
        let reason = match self.alarms().await {
            Ok(alarms) => match alarms.into_iter().find(|alarm| !excluded(alarm)) {
                Some(alarm) => Some(format!("ALARM {alarm}")),
                None => {
                    self.read(serializable).await.err().map(|status| format!("QGET ERROR:{}", status.message))
                }
            },
            Err(status) => Some(format!("ALARM ERROR:{}", status.message)),
        };
        let (status, health) = match reason {
            None => (StatusCode::OK, "true"),
            Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "false"),
        };
        let health = Health { health, reason: reason.as_deref().unwrap_or_default() };
        json(status, serde_json::to_vec(&health).unwrap_or_default())
    }

    async fn alarms(&self) -> Result<Vec<&'static str>, Status> {
        let request =
            AlarmRequest { action: alarm_request::AlarmAction::Get.into(), ..AlarmRequest::default() };
        let call = self.service.hub.call(self.member, "/etcdserverpb.Maintenance/Alarm", Metadata::default());
        let answer = call.await.answer(request.encode_to_vec().into(), PATIENCE).await?;
        let alarms = AlarmResponse::decode(answer).unwrap_or_default().alarms;
        Ok(alarms
            .iter()
            .map(|alarm| AlarmType::try_from(alarm.alarm).map_or("UNKNOWN", |kind| kind.as_str_name()))
            .collect())
    }

    async fn read(&self, serializable: bool) -> Result<Bytes, Status> {
        let request =
            RangeRequest { key: Bytes::from_static(b"health"), serializable, ..RangeRequest::default() };
        let call = self.service.hub.call(self.member, "/etcdserverpb.KV/Range", Metadata::default());
        call.await.answer(request.encode_to_vec().into(), PATIENCE).await
    }
}

//! Going down to the version before. Nobody does in the end: that takes members of another release.

use bytes::Bytes;

use super::call::{Call, decode};
use super::maintenance::encode;
use super::{Failure, Server};
use crate::api::downgrade_request::DowngradeAction;
use crate::api::membershippb::DowngradeInfoSetRequest;
use crate::api::{DowngradeRequest, DowngradeResponse, InternalRaftRequest};
use crate::error::Error;

/// The version of the cluster, which all its members have.
pub const CLUSTER_VERSION: &str = "3.5.0";

/// The only version that it can go down to.
const TARGET: &str = "3.4.0";

impl Server {
    pub(super) async fn downgrade(&self, call: &Call, bytes: Bytes) -> Result<Bytes, Failure> {
        let request: DowngradeRequest = decode(bytes)?;
        self.intercept(&call.metadata, self.member.is_learner())?;
        self.member.require_root(call.token.as_ref()).await?;
        match DowngradeAction::try_from(request.action) {
            Ok(DowngradeAction::Validate) => self.validate_downgrade(&request.version).await?,
            Ok(DowngradeAction::Enable) => {
                self.validate_downgrade(&request.version).await?;
                self.set_downgrade(DowngradeInfoSetRequest { enabled: true, ver: TARGET.to_owned() }).await?;
            }
            Ok(DowngradeAction::Cancel) => {
                self.member.become_up_to_date().await?;
                if self.member.membership.borrow().downgrade().is_none() {
                    return Err(Error::NoInflightDowngrade.into());
                }
                self.set_downgrade(DowngradeInfoSetRequest::default()).await?;
            }
            Err(_) => return Err(Error::UnknownMethod.into()),
        }
        Ok(encode(&DowngradeResponse { header: self.header(), version: CLUSTER_VERSION.to_owned() }))
    }

    async fn validate_downgrade(&self, version: &str) -> Result<(), Error> {
        let (major, minor) = major_and_minor(version).ok_or(Error::WrongDowngradeVersionFormat)?;
        self.member.become_up_to_date().await?;
        if format!("{major}.{minor}.0") != TARGET {
            return Err(Error::InvalidDowngradeTargetVersion);
        }
        match self.member.membership.borrow().downgrade() {
            Some(_) => Err(Error::DowngradeInProcess),
            None => Ok(()),
        }
    }

    async fn set_downgrade(&self, request: DowngradeInfoSetRequest) -> Result<(), Error> {
        let downgrade_info_set = Some(request);
        self.member.tell_cluster(InternalRaftRequest { downgrade_info_set, ..Default::default() }).await
    }
}

/// Of a semantic version, or one without its third number.
fn major_and_minor(version: &str) -> Option<(i64, i64)> {
    let (rest, _) = version.split_once('+').unwrap_or((version, ""));
    let (numbers, _) = rest.split_once('-').unwrap_or((rest, ""));
    let numbers: Option<Vec<i64>> = numbers.split('.').map(|number| number.parse().ok()).collect();
    match numbers?[..] {
        [major, minor] | [major, minor, _] => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_two_numbers_or_three() {
        let cases = [
            ("3.4", Some((3, 4))),
            ("3.4.0", Some((3, 4))),
            ("3.4.7-rc.1+go", Some((3, 4))),
            ("3", None),
            ("3.4.5.6", None),
            ("3.x", None),
            ("", None),
        ];
        for (version, expected) in cases {
            assert_eq!(major_and_minor(version), expected, "{version}");
        }
    }
}

//! The Cluster service. Members are on machines; what callers know of them are names and URLs.

use bytes::Bytes;

use super::call::{Call, Received, decode};
use super::maintenance::encode;
use super::methods::Method;
use super::{Failure, Server};
use crate::api::{
    Member as Listed, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, ResponseHeader,
};
use crate::cluster::{self, Address, MemberId, NOWHERE, machine, peer_url};
use crate::error::Error;
use crate::member::has_machine;

impl Server {
    pub(super) async fn cluster(
        &self,
        method: Method,
        call: &Call,
        message: Received,
    ) -> Result<Bytes, Failure> {
        let intercept = || self.intercept(&call.metadata, self.member.is_learner());
        let (bytes, token) = (message.bytes, call.token.as_ref());
        Ok(match method {
            Method::MemberAdd => {
                let MemberAddRequest { peer_ur_ls, is_learner } = decode(bytes)?;
                intercept()?;
                let urls = valid_urls(&peer_ur_ls).ok_or(Error::MemberBadUrls)?;
                self.member.require_root(token).await?;
                let address = self.address_of(&urls).unwrap_or_else(|| nowhere(&urls, NOWHERE));
                let id = self.member.add(address, is_learner, told_apart(address, &urls)).await?;
                let added = Listed { id, peer_ur_ls: urls, is_learner, ..Listed::default() };
                let header = self.cluster_header();
                encode(&MemberAddResponse { header, member: Some(added), members: self.members() })
            }
            Method::MemberRemove => {
                let MemberRemoveRequest { id } = decode(bytes)?;
                intercept()?;
                self.member.require_root(token).await?;
                self.member.remove(id).await?;
                encode(&MemberRemoveResponse { header: self.cluster_header(), members: self.members() })
            }
            Method::MemberUpdate => {
                let MemberUpdateRequest { id, peer_ur_ls: urls } = decode(bytes)?;
                intercept()?;
                self.member.require_root(token).await?;
                // It stays on its machine, whatever it is called.
                let own =
                    self.address_of(&urls).filter(|address| machine(u64::from(*address)) == machine(id));
                let address = own.unwrap_or_else(|| nowhere(&urls, machine(id)));
                self.member.update(id, address, told_apart(address, &urls)).await?;
                encode(&MemberUpdateResponse { header: self.cluster_header(), members: self.members() })
            }
            Method::MemberPromote => {
                let MemberPromoteRequest { id } = decode(bytes)?;
                intercept()?;
                self.member.require_root(token).await?;
                self.member.promote_through_leader(id).await?;
                encode(&MemberPromoteResponse { header: self.cluster_header(), members: self.members() })
            }
            _ => {
                let MemberListRequest { linearizable } = decode(bytes)?;
                intercept()?;
                if linearizable {
                    self.member.become_up_to_date().await?;
                }
                encode(&MemberListResponse { header: self.cluster_header(), members: self.members() })
            }
        })
    }

    /// Without a revision, as in etcd.
    fn cluster_header(&self) -> Option<ResponseHeader> {
        self.header().map(|header| ResponseHeader { revision: 0, ..header })
    }

    fn members(&self) -> Vec<Listed> {
        let membership = self.member.membership.borrow();
        let listed = membership.list().into_iter().map(|member| Listed {
            id: member.id,
            name: if member.started { format!("m{}", machine(member.id)) } else { String::new() },
            peer_ur_ls: membership.peer_urls(member.id),
            client_ur_ls: if member.started { vec![self.client_url(member.id)] } else { Vec::new() },
            is_learner: member.learner,
        });
        listed.collect()
    }

    fn client_url(&self, id: MemberId) -> String {
        let urls = &self.member.options.client_urls;
        let configured = urls.get(usize::from(machine(id)) - 1).cloned();
        configured.unwrap_or_else(|| format!("http://m{}:2379", machine(id)))
    }

    /// The address that the first of these URLs names which names a machine of the simulation.
    fn address_of(&self, urls: &[String]) -> Option<Address> {
        let known = urls.iter().filter_map(|url| cluster::address_of(url));
        known
            .into_iter()
            .find(|address| has_machine(self.member.node.world(), u64::from(machine(u64::from(*address)))))
    }
}

/// An address on a machine, of a name that is none of the simulation's.
fn nowhere(urls: &[String], machine: u16) -> Address {
    let hash = crc32c::crc32c(urls.join(",").as_bytes());
    (hash | 1) << 16 | Address::from(machine)
}

/// The URLs, unless they follow from the address.
fn told_apart(address: Address, urls: &[String]) -> &[String] {
    if *urls == [peer_url(address)] { &[] } else { urls }
}

/// URLs under which a member could be reached, in order; nothing if one is none, or if there are none.
fn valid_urls(urls: &[String]) -> Option<Vec<String>> {
    let valid = |url: &String| {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://")?;
        let is_valid = match scheme {
            "http" | "https" => !rest.contains(['/', '?', '#', ' ']) && has_host_and_port(rest),
            "unix" | "unixs" => true,
            _ => false,
        };
        is_valid.then(|| url.to_owned())
    };
    let mut urls = urls.iter().map(valid).collect::<Option<Vec<_>>>()?;
    urls.sort_unstable();
    (!urls.is_empty()).then_some(urls)
}

fn has_host_and_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let is_bare = !host.contains(':');
    let is_in_brackets = host.starts_with('[') && host.ends_with(']');
    (is_bare || is_in_brackets) && port.chars().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_valid_as_in_etcd() {
        let is_valid = |url: &str| valid_urls(&[url.to_owned()]).is_some();
        for url in ["http://10.0.0.1:2380", "https://[::1]:2380", "unix://a:1", " http://m4:2380"] {
            assert!(is_valid(url), "{url}");
        }
        for url in ["", "10.0.0.1:2380", "http://10.0.0.1", "http://a:1/path", "ftp://a:1", "http://::1:2380"]
        {
            assert!(!is_valid(url), "{url}");
        }
        assert_eq!(valid_urls(&[]), None);
    }

    #[test]
    fn a_url_that_follows_from_an_address_needs_no_place() {
        assert_eq!(cluster::address_of("http://m4:2380"), Some(4));
        assert_eq!(cluster::address_of(&peer_url(3 << 16 | 4)), Some(3 << 16 | 4));
        for other in ["http://m0:2380", "http://m04:2380", "http://m4:2381", "https://m4:2380"] {
            assert_eq!(cluster::address_of(other), None, "{other}");
        }
        assert_eq!(told_apart(4, &["http://m4:2380".to_owned()]), [""; 0]);
    }
}

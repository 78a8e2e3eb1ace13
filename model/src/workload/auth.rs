//! What clients do with users and roles. One of them, the administrator, sets them up, switches authentication on, and
//! goes on to change everything.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use vertebra_sim::NodeId;
use vertebra_sim::random::Stream;

use super::key;
use crate::api::authpb::{Permission, permission::Type};
use crate::api::{
    AuthDisableRequest, AuthEnableRequest, AuthRequest, AuthRoleAddRequest, AuthRoleDeleteRequest,
    AuthRoleGetRequest, AuthRoleGrantPermissionRequest, AuthRoleListRequest, AuthRoleRevokePermissionRequest,
    AuthStatusRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest,
    AuthUserGetRequest, AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest,
};
use crate::auth::ROOT;
use crate::credentials::Passwords;
use crate::error::Error;
use crate::history::Outcome;
use crate::options::Options;

/// Users and roles, besides `root`.
const COUNT: u64 = 3;

/// Of 100 operations of a client that is not the administrator, so many are about users and roles.
const PERCENT_OF_OTHERS: u64 = 4;

/// The requests of one client for users and roles.
pub(super) struct Auth {
    stream: Stream,
    passwords: Rc<Passwords>,
    administrates: bool,
    percent: u64,
    keys: u16,
    /// What the administrator wants to have done, in this order.
    plan: VecDeque<AuthRequest>,
    /// Passwords that it has made up.
    made_up: u32,
    /// The last request was the first one of the plan.
    planned: bool,
    /// The last permission that was granted to each role.
    granted: Vec<(String, Permission)>,
}

/// The user that a client is.
pub(crate) fn user_of(client: NodeId, options: &Options) -> String {
    match client {
        NodeId::Client(number) if number == options.auth.administrator => ROOT.to_owned(),
        NodeId::Client(number) => user(u64::from(number)),
        _ => String::new(),
    }
}

fn user(number: u64) -> String {
    format!("user{}", number % COUNT + 1)
}

fn role(number: u64) -> String {
    format!("role{}", number % COUNT + 1)
}

impl Auth {
    pub(super) fn new(client: NodeId, options: &Options, stream: Stream, passwords: Rc<Passwords>) -> Self {
        let administrates = client == NodeId::Client(options.auth.administrator);
        let percent = if administrates { options.auth.percent.into() } else { PERCENT_OF_OTHERS };
        let keys = options.traffic.keys;
        let mut this = Self {
            stream,
            passwords,
            administrates,
            percent,
            keys,
            plan: VecDeque::new(),
            made_up: 0,
            planned: false,
            granted: Vec::new(),
        };
        if administrates {
            this.plan_all();
        }
        this
    }

    fn plan_all(&mut self) {
        let root = self.add_user(ROOT.to_owned());
        self.plan.extend([root, grant_role(ROOT, ROOT)]);
        let from_to = |from: u16, to: u16| (key(from), key(to));
        let all = (Bytes::from_static(b"key"), Bytes::from_static(b"kez"));
        // Some keys can be read by who may not write them, and written by who may not read them.
        let permissions = [
            (0, Type::Readwrite, all),
            (1, Type::Read, from_to(self.keys / 4, self.keys)),
            (1, Type::Write, from_to(0, self.keys.div_ceil(2))),
            (2, Type::Readwrite, from_to(self.keys / 3, self.keys)),
        ];
        for number in 0..COUNT {
            self.plan
                .push_back(AuthRequest::AuthRoleAdd(Box::new(AuthRoleAddRequest { name: role(number) })));
            for (_, kind, keys) in permissions.iter().filter(|(of, ..)| *of == number) {
                self.plan.push_back(grant(role(number), *kind, keys.clone()));
            }
            let add = self.add_user(user(number));
            self.plan.extend([add, grant_role(&user(number), &role(number))]);
        }
        self.plan.push_back(AuthRequest::AuthEnable(Box::new(AuthEnableRequest {})));
    }

    fn add_user(&mut self, name: String) -> AuthRequest {
        let password = self.make_up(&name);
        AuthRequest::AuthUserAdd(Box::new(AuthUserAddRequest { name, password, ..Default::default() }))
    }

    fn make_up(&mut self, user: &str) -> String {
        self.made_up += 1;
        format!("{user}-{}", self.made_up)
    }

    /// The next request, if it is one for users and roles.
    pub(super) fn draw(&mut self) -> Option<AuthRequest> {
        if self.stream.below(100) >= self.percent {
            return None;
        }
        self.planned = false;
        let request = match self.plan.front() {
            _ if !self.administrates => self.draw_of_others(),
            Some(planned) => {
                self.planned = true;
                planned.clone()
            }
            None => self.draw_change(),
        };
        match &request {
            AuthRequest::AuthUserAdd(add) => self.passwords.propose(&add.name, &add.password),
            AuthRequest::AuthUserChangePassword(change) => {
                self.passwords.propose(&change.name, &change.password);
            }
            _ => {}
        }
        Some(request)
    }

    fn draw_of_others(&mut self) -> AuthRequest {
        let (user, role) = (user(self.stream.below(COUNT)), role(self.stream.below(COUNT)));
        match self.stream.below(6) {
            0 => AuthRequest::AuthStatus(Box::new(AuthStatusRequest {})),
            1 => AuthRequest::AuthUserGet(Box::new(AuthUserGetRequest { name: user })),
            2 => AuthRequest::AuthRoleGet(Box::new(AuthRoleGetRequest { role })),
            3 => AuthRequest::AuthUserList(Box::new(AuthUserListRequest {})),
            // Which only root may, while anybody asks.
            4 => grant_role(&user, &role),
            _ => self.draw_grant(role),
        }
    }

    fn draw_grant(&mut self, role: String) -> AuthRequest {
        let first = self.stream.below(u64::from(self.keys)) as u16;
        let range_end = match self.stream.below(8) {
            0 => Bytes::new(),
            1 => Bytes::from_static(b"\0"),
            2..4 => Bytes::from_static(b"kez"),
            _ => key(first + 1 + self.stream.below(u64::from(self.keys)) as u16),
        };
        let key = if self.stream.chance(300_000) { Bytes::from_static(b"key") } else { key(first) };
        let kind = *self.stream.pick(&[Type::Read, Type::Write, Type::Readwrite, Type::Readwrite]);
        grant(role, kind, (key, range_end))
    }

    fn draw_change(&mut self) -> AuthRequest {
        let (user, role) = (user(self.stream.below(COUNT)), role(self.stream.below(COUNT)));
        match self.stream.below(100) {
            0..22 => self.draw_grant(role),
            22..36 => match self.granted.pop() {
                Some((role, Permission { key, range_end, .. })) => {
                    AuthRequest::AuthRoleRevokePermission(Box::new(AuthRoleRevokePermissionRequest {
                        role,
                        key,
                        range_end,
                    }))
                }
                None => self.draw_grant(role),
            },
            36..46 => {
                AuthRequest::AuthUserRevokeRole(Box::new(AuthUserRevokeRoleRequest { name: user, role }))
            }
            46..58 => grant_role(&user, &role),
            58..62 => AuthRequest::AuthUserDelete(Box::new(AuthUserDeleteRequest { name: user })),
            62..66 => self.add_user(user),
            66..69 => AuthRequest::AuthRoleDelete(Box::new(AuthRoleDeleteRequest { role })),
            69..72 => AuthRequest::AuthRoleAdd(Box::new(AuthRoleAddRequest { name: role })),
            72..82 => {
                let name = if self.stream.chance(300_000) { ROOT.to_owned() } else { user };
                let password = self.make_up(&name);
                let request = AuthUserChangePasswordRequest { name, password, ..Default::default() };
                AuthRequest::AuthUserChangePassword(Box::new(request))
            }
            82..86 => {
                // Not for long.
                self.plan.push_back(AuthRequest::AuthEnable(Box::new(AuthEnableRequest {})));
                AuthRequest::AuthDisable(Box::new(AuthDisableRequest {}))
            }
            86..94 => self.draw_question(user, role),
            _ => self.draw_refused(),
        }
    }

    fn draw_question(&mut self, user: String, role: String) -> AuthRequest {
        match self.stream.below(5) {
            0 => AuthRequest::AuthStatus(Box::new(AuthStatusRequest {})),
            1 => AuthRequest::AuthUserGet(Box::new(AuthUserGetRequest { name: user })),
            2 => AuthRequest::AuthRoleGet(Box::new(AuthRoleGetRequest { role })),
            3 => AuthRequest::AuthUserList(Box::new(AuthUserListRequest {})),
            _ => AuthRequest::AuthRoleList(Box::new(AuthRoleListRequest {})),
        }
    }

    /// What cannot be done while authentication is on, or at all.
    fn draw_refused(&mut self) -> AuthRequest {
        match self.stream.below(6) {
            0 => AuthRequest::AuthUserRevokeRole(Box::new(AuthUserRevokeRoleRequest {
                name: ROOT.to_owned(),
                role: ROOT.to_owned(),
            })),
            1 => AuthRequest::AuthRoleDelete(Box::new(AuthRoleDeleteRequest { role: ROOT.to_owned() })),
            2 => AuthRequest::AuthRoleAdd(Box::new(AuthRoleAddRequest { name: String::new() })),
            3 => AuthRequest::AuthRoleGrantPermission(Box::new(AuthRoleGrantPermissionRequest {
                name: role(0),
                perm: None,
            })),
            4 => grant(role(1), Type::Read, (key(2), key(1))),
            _ => self.add_user(String::new()),
        }
    }

    /// Takes in how a request for users and roles ended.
    pub(super) fn learn(&mut self, request: &AuthRequest, outcome: &Outcome) {
        let password = match request {
            AuthRequest::AuthUserAdd(add) => Some((&add.name, &add.password)),
            AuthRequest::AuthUserChangePassword(change) => Some((&change.name, &change.password)),
            _ => None,
        };
        if let Some((user, password)) = password {
            let took_effect = match outcome {
                Outcome::Ok(_) => Some(true),
                Outcome::Failed(_) => Some(false),
                Outcome::Unknown => None,
            };
            self.passwords.ended(user, password, took_effect);
        }
        if let (AuthRequest::AuthRoleGrantPermission(granted), Outcome::Ok(_)) = (request, outcome)
            && let Some(permission) = &granted.perm
        {
            self.granted.push((granted.name.clone(), permission.clone()));
        }
        let again = match outcome {
            Outcome::Ok(_) => false,
            Outcome::Failed(error) => error.needs_token() || *error == Error::PermissionDenied,
            Outcome::Unknown => true,
        };
        if self.planned && !again {
            self.plan.pop_front();
        }
        match outcome {
            Outcome::Failed(Error::UserNotFound) if self.administrates && self.plan.is_empty() => {
                let name = user(self.stream.below(COUNT));
                let (grant, add) = (grant_role(&name, &role(self.stream.below(COUNT))), self.add_user(name));
                self.plan.extend([add, grant]);
            }
            Outcome::Failed(Error::RoleNotFound) if self.administrates && self.plan.is_empty() => {
                let name = role(self.stream.below(COUNT));
                let grant = self.draw_grant(name.clone());
                self.plan.extend([AuthRequest::AuthRoleAdd(Box::new(AuthRoleAddRequest { name })), grant]);
            }
            _ => {}
        }
    }
}

fn grant_role(user: &str, role: &str) -> AuthRequest {
    let (user, role) = (user.to_owned(), role.to_owned());
    AuthRequest::AuthUserGrantRole(Box::new(AuthUserGrantRoleRequest { user, role }))
}

fn grant(role: String, kind: Type, (key, range_end): (Bytes, Bytes)) -> AuthRequest {
    let perm = Some(Permission { perm_type: kind.into(), key, range_end });
    AuthRequest::AuthRoleGrantPermission(Box::new(AuthRoleGrantPermissionRequest { name: role, perm }))
}

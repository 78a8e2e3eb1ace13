//! Who a client is, and what it knows of passwords and tokens.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::api::{AuthRequest, InternalAuthenticateRequest};
use crate::auth::{AuthResponse, ROOT};
use crate::error::Error;
use crate::history::Outcome;
use crate::response::Response;
use crate::wire::Token;

/// What the administrator tells users of their passwords, by ways that lead past the cluster.
#[derive(Default)]
pub(crate) struct Passwords {
    /// By user: those that may be right, the newest last.
    known: RefCell<BTreeMap<String, Vec<Known>>>,
    /// By user: all that ever may have been right.
    ever: RefCell<BTreeMap<String, Vec<String>>>,
}

struct Known {
    password: String,
    /// Nobody knows whether a request with it took effect, or still will.
    open: bool,
}

impl Passwords {
    /// From now on, this one may be right.
    pub(crate) fn propose(&self, user: &str, password: &str) {
        let mut known = self.known.borrow_mut();
        let known = known.entry(user.to_owned()).or_default();
        if known.iter().all(|known| known.password != password) {
            known.push(Known { password: password.to_owned(), open: false });
        }
        let mut ever = self.ever.borrow_mut();
        let ever = ever.entry(user.to_owned()).or_default();
        if !ever.iter().any(|known| known == password) {
            ever.push(password.to_owned());
        }
    }

    /// The cluster is what it was at some time: any that ever was right may be so again.
    pub(crate) fn restore(&self) {
        let ever = self.ever.borrow();
        let open = |password: &String| Known { password: password.clone(), open: true };
        let again = ever.iter().map(|(user, ever)| (user.clone(), ever.iter().map(open).collect()));
        *self.known.borrow_mut() = again.collect();
    }

    /// The request that would make it right has ended: it took effect, or not, or nobody knows.
    pub(crate) fn ended(&self, user: &str, password: &str, took_effect: Option<bool>) {
        let mut known = self.known.borrow_mut();
        let Some(known) = known.get_mut(user) else { return };
        match took_effect {
            Some(true) => known.retain(|known| known.open || known.password == password),
            Some(false) => known.retain(|known| known.open || known.password != password),
            None => {
                let asked = known.iter_mut().filter(|known| known.password == password);
                asked.for_each(|known| known.open = true);
            }
        }
    }

    fn get(&self, user: &str, attempt: usize) -> String {
        let known = self.known.borrow();
        let known = known.get(user).map_or(&[][..], Vec::as_slice);
        // The newest first.
        let tried = known.iter().rev().cycle().nth(attempt % known.len().max(1));
        tried.map_or_else(String::new, |known| known.password.clone())
    }
}

/// What a client knows of itself. Those who watch for it share it.
pub(crate) struct Credentials {
    user: RefCell<String>,
    token: RefCell<Option<Token>>,
    /// It was refused for lack of a token that counts.
    wants_token: Cell<bool>,
    /// How often a password was wrong.
    attempts: Cell<usize>,
    passwords: Rc<Passwords>,
}

impl Credentials {
    pub(crate) fn new(user: String, passwords: Rc<Passwords>) -> Self {
        Self {
            user: RefCell::new(user),
            token: RefCell::default(),
            wants_token: Cell::new(false),
            attempts: Cell::new(0),
            passwords,
        }
    }

    pub(crate) fn user(&self) -> String {
        self.user.borrow().clone()
    }

    pub(crate) fn token(&self) -> Option<Token> {
        self.token.borrow().clone()
    }

    pub(crate) fn wants_token(&self) -> bool {
        self.wants_token.get()
    }

    /// From now on, it is the root user.
    pub(crate) fn become_root(&self) {
        if *self.user.borrow() != ROOT {
            ROOT.clone_into(&mut self.user.borrow_mut());
            *self.token.borrow_mut() = None;
        }
        self.wants_token.set(true);
    }

    /// The request for a token.
    pub(crate) fn request(&self) -> AuthRequest {
        let name = self.user();
        let password = self.passwords.get(&name, self.attempts.get());
        let request = InternalAuthenticateRequest { name, password, simple_token: String::new() };
        AuthRequest::Authenticate(Box::new(request))
    }

    /// Takes in how a request ended.
    pub(crate) fn learn(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok(Response::Auth(AuthResponse::Authenticate(response))) => {
                *self.token.borrow_mut() = Some(response.token.as_str().into());
                self.wants_token.set(false);
            }
            Outcome::Failed(Error::AuthNotEnabled) => self.wants_token.set(false),
            Outcome::Failed(Error::AuthFailed) => self.attempts.set(self.attempts.get() + 1),
            Outcome::Failed(error) if error.needs_token() => self.wants_token.set(true),
            _ => {}
        }
    }
}

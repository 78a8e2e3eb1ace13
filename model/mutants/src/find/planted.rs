//! What of a file is of planted bugs. They are off in the sweep: code that they alone lead to is none of the members', and a
//! mutant of a question whether one is on is another planted bug. So is what a fault alone leads to that is injected there.

use std::collections::BTreeSet;

use syn::{BinOp, Expr, Lit, Pat, Stmt, UnOp};

/// What is known of planted bugs in a function.
#[derive(Debug, Default)]
pub struct Planted {
    /// Names of what is true only where one is on.
    names: BTreeSet<String>,
}

impl Planted {
    /// Whether an expression is true only where some planted bug is on, or a fault is injected.
    pub fn is_off(&self, expression: &Expr) -> bool {
        match expression {
            Expr::MethodCall(call) => match &call.method {
                method if method == "has" || method == "contains" => call.args.iter().all(is_planted),
                method if method == "any" => is_of_planted(&call.receiver),
                _ => false,
            },
            Expr::Path(path) => {
                path.path.get_ident().is_some_and(|name| self.names.contains(&name.to_string()))
            }
            // Nothing is there unless a fault is injected.
            Expr::Await(inner) => {
                matches!(&*inner.base, Expr::MethodCall(call) if call.method == "failpoint")
            }
            Expr::Paren(inner) => self.is_off(&inner.expr),
            Expr::Unary(unary) => matches!(unary.op, UnOp::Not(_)) && self.is_on(&unary.expr),
            Expr::Binary(binary) => match binary.op {
                BinOp::And(_) => self.is_off(&binary.left) || self.is_off(&binary.right),
                BinOp::Or(_) => self.is_off(&binary.left) && self.is_off(&binary.right),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether an expression is true unless some planted bug is on.
    pub fn is_on(&self, expression: &Expr) -> bool {
        match expression {
            // Those that are switched on: `x.defects.is_empty()`.
            Expr::MethodCall(call) if call.method == "is_empty" => {
                matches!(&*call.receiver, Expr::Field(field)
                    if matches!(&field.member, syn::Member::Named(name) if name == "defects"))
            }
            Expr::Paren(inner) => self.is_on(&inner.expr),
            Expr::Unary(unary) => matches!(unary.op, UnOp::Not(_)) && self.is_off(&unary.expr),
            Expr::Binary(binary) => match binary.op {
                BinOp::And(_) => self.is_on(&binary.left) && self.is_on(&binary.right),
                BinOp::Or(_) => self.is_on(&binary.left) || self.is_on(&binary.right),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether planted bugs alone decide about its value.
    pub fn is_fixed(&self, expression: &Expr) -> bool {
        self.is_off(expression) || self.is_on(expression)
    }

    /// Whether what comes behind a statement is reached only where one is on.
    pub fn ends(&self, statement: &Stmt) -> bool {
        let Stmt::Expr(Expr::If(condition), _) = statement else { return false };
        let jumps = |statement: &Stmt| {
            matches!(statement, Stmt::Expr(Expr::Return(_) | Expr::Continue(_) | Expr::Break(_), _))
        };
        self.is_on(&condition.cond) && condition.then_branch.stmts.last().is_some_and(jumps)
    }

    /// Learns the name of what is true only where one is on.
    pub fn learn(&mut self, local: &syn::Local) {
        if let (Pat::Ident(name), Some(init)) = (&local.pat, &local.init)
            && self.is_off(&init.expr)
        {
            self.names.insert(name.ident.to_string());
        }
    }

    /// Whether an arm is taken only where one is on.
    pub fn is_arm_off(&self, matched: &Expr, arm: &syn::Arm) -> bool {
        let is_for_true = |pattern: &Pat| match pattern {
            Pat::Lit(literal) => matches!(&literal.lit, Lit::Bool(literal) if literal.value),
            _ => false,
        };
        let is_guarded = arm.guard.as_ref().is_some_and(|(_, guard)| self.is_off(guard));
        is_guarded || self.is_off(matched) && is_for_true(&arm.pat)
    }
}

/// Whether a function does nothing unless a planted bug is on.
pub fn does_nothing(body: &syn::Block) -> bool {
    let mut planted = Planted::default();
    body.stmts.iter().all(|statement| match statement {
        Stmt::Local(local) => {
            planted.learn(local);
            let names = |init: &syn::LocalInit| matches!(&*init.expr, Expr::Reference(_) | Expr::Path(_));
            local.init.as_ref().is_some_and(|init| names(init) || planted.is_off(&init.expr))
        }
        Stmt::Expr(Expr::If(condition), _) => {
            condition.else_branch.is_none() && planted.is_off(&condition.cond)
        }
        _ => false,
    })
}

/// Whether an argument is a planted bug, or a sync that is left out.
pub fn is_planted(argument: &Expr) -> bool {
    let of = |path: &syn::Path| path.segments.first().map(|first| first.ident.to_string());
    matches!(argument, Expr::Path(path) if of(&path.path).is_some_and(|of| of == "Defect" || of == "Sync"))
}

/// Whether planted bugs are gone through: `[Defect::A, Defect::B].into_iter()`.
fn is_of_planted(receiver: &Expr) -> bool {
    let Expr::MethodCall(call) = receiver else { return false };
    matches!(&*call.receiver, Expr::Array(array) if array.elems.iter().all(is_planted))
}

/// Whether something is for oracles, tests or planted bugs alone, by what is said of it.
pub fn is_no_members_doing(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => {
                let text = text.value();
                ["For oracles", "For tests", "For planted bugs"]
                    .iter()
                    .any(|start| text.trim_start().starts_with(start))
            }
            _ => false,
        },
        _ => false,
    })
}

//! Finds what can be mutated in a source file.
//!
//! Not looked into: constants and statics, patterns, attributes, macros' arguments, tests, and what formats for people. A macro
//! is code of another place, and its arguments are tokens. Nor is a call that belongs to the harness: where a fault is injected,
//! and where an oracle is told something; nor what is bound only to be told to marks and the record of a run; nor is anything of
//! planted bugs mutated, or what only oracles ask for.

mod operators;
mod planted;
mod told;
mod values;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use self::planted::{Planted, is_no_members_doing};

/// A place, as a range of bytes of its file, around which mutants are spliced. Places of one file are disjoint or nested; of two
/// that are one range, the first is the outer one.
#[derive(Debug)]
pub struct Place {
    /// Empty where something is only put in.
    pub range: Range<usize>,
    pub form: Form,
    /// The function that it is in, with its type.
    pub function: String,
    /// From 1.
    pub line: usize,
    pub column: usize,
}

/// What is spliced there.
#[derive(Debug)]
pub enum Form {
    /// An expression, and what may stand in its place.
    Expression(Vec<Alternative>),
    /// A statement, and what is told of leaving it out.
    Statement(String),
    /// The start of a function's body, and what may be returned at once. An empty text is a plain `return`.
    Body(Vec<Alternative>),
    /// An arm's guard, or the place behind the pattern where one would be, and what is told of an arm that is never taken.
    Arm(String),
}

impl Form {
    /// How many mutants it is.
    pub fn count(&self) -> usize {
        match self {
            Self::Expression(alternatives) | Self::Body(alternatives) => alternatives.len(),
            Self::Statement(_) | Self::Arm(_) => 1,
        }
    }

    /// What kind of mutation one of them is, and what is told of it.
    pub fn describe(&self, number: usize) -> (Kind, &str) {
        match self {
            Self::Expression(alternatives) | Self::Body(alternatives) => {
                (alternatives[number].kind, &alternatives[number].what)
            }
            Self::Statement(what) => (Kind::Statement, what),
            Self::Arm(what) => (Kind::Arm, what),
        }
    }
}

/// One mutant of a place.
#[derive(Debug)]
pub struct Alternative {
    pub kind: Kind,
    /// The code.
    pub text: String,
    /// What is told of it.
    pub what: String,
}

/// Kinds of mutations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Another operator, of two operands or of an assignment.
    Operator,
    /// A negation that is gone, or a condition that is negated.
    Negation,
    /// The other boolean constant.
    Constant,
    /// A body that is a value.
    Body,
    /// A guard that always or never holds.
    Guard,
    /// An arm that is never taken, where another takes the rest.
    Arm,
    /// A statement that is left out.
    Statement,
    /// A range that ends one earlier or later.
    Range,
    /// A method's counterpart, such as `max` for `min`.
    Method,
    /// A field that is as in the value that the rest is taken from.
    Field,
}

/// The places of a file.
///
/// # Errors
///
/// Of a file that is not Rust.
pub fn places(source: &str) -> syn::Result<Vec<Place>> {
    let file = syn::parse_file(source)?;
    let mut finder = Finder {
        source,
        places: Vec::new(),
        scope: Vec::new(),
        planted: Planted::default(),
        may_fall_through: false,
    };
    finder.visit_file(&file);
    finder.places.sort_by_key(|place| (place.range.start, std::cmp::Reverse(place.range.end)));
    Ok(finder.places)
}

struct Finder<'s> {
    source: &'s str,
    places: Vec<Place>,
    /// Names of the types, modules and functions around.
    scope: Vec<String>,
    /// In the function around.
    planted: Planted,
    /// Whether the block that comes next may end without leaving: it is of an `if` without `else`.
    may_fall_through: bool,
}

impl Finder<'_> {
    fn text(&self, spanned: &impl Spanned) -> &str {
        &self.source[spanned.span().byte_range()]
    }

    /// A text in one line, and not too long.
    fn short(&self, spanned: &impl Spanned) -> String {
        let text = self.text(spanned).split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(72) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    fn place(&mut self, at: &impl Spanned, range: Range<usize>, form: Form) {
        if form.count() == 0 {
            return;
        }
        let start = at.span().start();
        let function = self.scope.join("::");
        self.places.push(Place { range, form, function, line: start.line, column: start.column + 1 });
    }

    fn replace(&mut self, expression: &impl Spanned, alternatives: Vec<Alternative>) {
        self.place(expression, expression.span().byte_range(), Form::Expression(alternatives));
    }

    /// An expression's text with other tokens in place of some.
    fn with(&self, expression: &impl Spanned, tokens: &impl Spanned, new: &str) -> String {
        let (whole, part) = (expression.span().byte_range(), tokens.span().byte_range());
        format!("{}{new}{}", &self.source[whole.start..part.start], &self.source[part.end..whole.end])
    }

    fn function(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, block: &syn::Block) {
        if is_of_tests(attributes) || is_no_members_doing(attributes) || signature.constness.is_some() {
            return;
        }
        self.scope.push(signature.ident.to_string());
        let planted = std::mem::take(&mut self.planted);
        let is_planted = matches!(&block.stmts[..], [syn::Stmt::Expr(value, None)] if self.planted.is_fixed(value))
            || planted::does_nothing(block);
        let body = self.source[block.brace_token.span.join().byte_range()].trim_matches(['{', '}']).trim();
        let values =
            if block.stmts.is_empty() || is_planted { Vec::new() } else { values::of(&signature.output) };
        let values = values.into_iter().filter(|value| value != body);
        let alternatives = values.map(|text| {
            let what = match text.as_str() {
                "" => "does nothing".to_owned(),
                value => format!("returns `{value}`"),
            };
            Alternative { kind: Kind::Body, text, what }
        });
        let alternatives = alternatives.collect();
        let start = block.brace_token.span.open().byte_range().end;
        self.place(&signature.ident, start..start, Form::Body(alternatives));
        self.visit_block(block);
        self.planted = planted;
        self.scope.pop();
    }

    /// Negates what decides, unless operators in it are mutated anyway.
    fn condition(&mut self, condition: &syn::Expr) {
        match condition {
            condition if self.planted.is_fixed(condition) => {}
            syn::Expr::Binary(binary) if operators::binds(condition) => {
                self.condition(&binary.left);
                self.condition(&binary.right);
            }
            syn::Expr::Let(_) | syn::Expr::Binary(_) | syn::Expr::Unary(_) | syn::Expr::Lit(_) => {}
            _ => {
                let (text, what) = (format!("!({})", self.text(condition)), self.short(condition));
                let what = format!("`{what}` is negated");
                self.replace(condition, vec![Alternative { kind: Kind::Negation, text, what }]);
            }
        }
    }

    /// Whether a call is of no member's doing, an injected fault or what an oracle is told, or a planted bug where it is missing.
    fn is_for_the_harness(&self, expression: &syn::Expr) -> bool {
        match expression {
            syn::Expr::Await(inner) => self.is_for_the_harness(&inner.base),
            syn::Expr::Try(inner) => self.is_for_the_harness(&inner.expr),
            syn::Expr::MethodCall(call) => {
                let receiver = self.text(&call.receiver);
                let is_told = ["observer", "accounts"].iter().any(|name| {
                    receiver.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                });
                is_told || call.method == "failpoint" || call.args.iter().any(planted::is_planted)
            }
            _ => false,
        }
    }

    /// A statement that is left out, if its type allows for that and nothing later can miss it.
    fn statement(&mut self, statement: &syn::Stmt, is_last: bool, may_fall_through: bool) {
        let is_left_out = match statement {
            syn::Stmt::Expr(expression, Some(_)) => match expression {
                syn::Expr::Return(_) | syn::Expr::Continue(_) | syn::Expr::Break(_) => {
                    !is_last || may_fall_through
                }
                syn::Expr::Binary(binary) => operators::assigns(&binary.op),
                syn::Expr::Assign(_)
                | syn::Expr::Await(_)
                | syn::Expr::Call(_)
                | syn::Expr::MethodCall(_)
                | syn::Expr::Try(_) => !self.is_for_the_harness(expression),
                _ => false,
            },
            syn::Stmt::Local(local) => matches!(local.pat, syn::Pat::Wild(_)) && local.init.is_some(),
            _ => false,
        };
        if is_left_out {
            let what = format!("`{}` is left out", self.short(statement));
            self.place(statement, statement.span().byte_range(), Form::Statement(what));
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_of_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_expr(&mut self, expression: &'ast syn::Expr) {
        if !self.planted.is_fixed(expression) && !self.is_for_the_harness(expression) {
            visit::visit_expr(self, expression);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        visit::visit_local(self, local);
        self.planted.learn(local);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        let is_for_people = of.is_some_and(|of| of.ident == "Debug" || of.ident == "Display");
        // A default that is the default has no end.
        let is_default = of.is_some_and(|of| of.ident == "Default");
        if is_of_tests(&item.attrs) || is_no_members_doing(&item.attrs) || is_for_people || is_default {
            return;
        }
        let name = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        self.scope.push(name.unwrap_or_else(|| self.short(&item.self_ty)));
        visit::visit_item_impl(self, item);
        self.scope.pop();
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.scope.push(item.ident.to_string());
        visit::visit_item_trait(self, item);
        self.scope.pop();
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.attrs, &function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.attrs, &function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.function(&function.attrs, &function.sig, block);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let may_fall_through = std::mem::take(&mut self.may_fall_through);
        for (index, statement) in block.stmts.iter().enumerate() {
            if self.planted.ends(statement) {
                break;
            }
            if let syn::Stmt::Local(local) = statement
                && told::is_only_told(local, &block.stmts[index + 1..])
            {
                continue;
            }
            self.statement(statement, index + 1 == block.stmts.len(), may_fall_through);
            self.visit_stmt(statement);
        }
    }

    fn visit_expr_if(&mut self, expression: &'ast syn::ExprIf) {
        let is_harness = |statement: &syn::Stmt| match statement {
            syn::Stmt::Expr(expression, _) => self.is_for_the_harness(expression),
            _ => false,
        };
        if expression.else_branch.is_none() && told::only_tells(&expression.then_branch, is_harness) {
            return;
        }
        self.condition(&expression.cond);
        self.visit_expr(&expression.cond);
        self.may_fall_through = expression.else_branch.is_none();
        if self.planted.is_off(&expression.cond) {
            self.may_fall_through = false;
        } else {
            self.visit_block(&expression.then_branch);
        }
        if let Some((_, branch)) = &expression.else_branch
            && !self.planted.is_on(&expression.cond)
        {
            self.visit_expr(branch);
        }
    }

    fn visit_expr_while(&mut self, expression: &'ast syn::ExprWhile) {
        self.condition(&expression.cond);
        visit::visit_expr_while(self, expression);
    }

    fn visit_expr_match(&mut self, expression: &'ast syn::ExprMatch) {
        let rest = expression.arms.last();
        let has_rest = rest.is_some_and(|arm| matches!(arm.pat, syn::Pat::Wild(_)) && arm.guard.is_none());
        self.visit_expr(&expression.expr);
        for arm in &expression.arms {
            if self.planted.is_arm_off(&expression.expr, arm) {
                continue;
            }
            let guard = arm.guard.as_ref().map(|(_, guard)| guard);
            if has_rest && !std::ptr::eq(arm, expression.arms.last().expect("it has a rest")) {
                let what = format!("the arm `{}` is never taken", self.short(&arm.pat));
                let end = arm.pat.span().byte_range().end;
                let range = guard.map_or(end..end, |guard| guard.span().byte_range());
                self.place(&arm.pat, range, Form::Arm(what));
            }
            if let Some(guard) =
                guard.filter(|guard| !operators::binds(guard) && !self.planted.is_fixed(guard))
            {
                let constant = |value: bool| Alternative {
                    kind: Kind::Guard,
                    text: value.to_string(),
                    what: format!("the guard `{}` is `{value}`", self.short(guard)),
                };
                let alternatives = vec![constant(true), constant(false)];
                self.replace(guard, alternatives);
            }
            self.visit_arm(arm);
        }
    }

    fn visit_expr_binary(&mut self, expression: &'ast syn::ExprBinary) {
        let stays = |side: &syn::Expr| operators::binds(side) || self.planted.is_fixed(side);
        if !stays(&expression.left) && !stays(&expression.right) {
            let alternatives = operators::others(&expression.op).iter().map(|new| {
                let old = self.text(&expression.op);
                let what = format!("`{old}` is `{new}` in `{}`", self.short(expression));
                Alternative { kind: Kind::Operator, text: self.with(expression, &expression.op, new), what }
            });
            let alternatives = alternatives.collect();
            self.replace(expression, alternatives);
        }
        visit::visit_expr_binary(self, expression);
    }

    fn visit_expr_unary(&mut self, expression: &'ast syn::ExprUnary) {
        if matches!(expression.op, syn::UnOp::Not(_) | syn::UnOp::Neg(_)) {
            let what = format!("`{}` without its `{}`", self.short(expression), self.text(&expression.op));
            let text = self.text(&expression.expr).to_owned();
            self.replace(expression, vec![Alternative { kind: Kind::Negation, text, what }]);
        }
        visit::visit_expr_unary(self, expression);
    }

    fn visit_expr_lit(&mut self, expression: &'ast syn::ExprLit) {
        if let syn::Lit::Bool(literal) = &expression.lit {
            let (text, what) =
                ((!literal.value).to_string(), format!("`{}` is `{}`", literal.value, !literal.value));
            self.replace(expression, vec![Alternative { kind: Kind::Constant, text, what }]);
        }
    }

    fn visit_expr_range(&mut self, expression: &'ast syn::ExprRange) {
        if let Some(end) = &expression.end {
            let step = if matches!(expression.limits, syn::RangeLimits::HalfOpen(_)) { "+" } else { "-" };
            let what = format!("the end is {step} 1 in `{}`", self.short(expression));
            let text = format!("({}) {step} 1", self.text(end));
            self.replace(end, vec![Alternative { kind: Kind::Range, text, what }]);
        }
        visit::visit_expr_range(self, expression);
    }

    fn visit_expr_method_call(&mut self, expression: &'ast syn::ExprMethodCall) {
        if let Some(other) = operators::counterpart(&expression.method.to_string()) {
            let what = format!("`{}` is `{other}` in `{}`", expression.method, self.short(expression));
            let text = self.with(expression, &expression.method, other);
            self.replace(expression, vec![Alternative { kind: Kind::Method, text, what }]);
        }
        visit::visit_expr_method_call(self, expression);
    }

    fn visit_expr_struct(&mut self, expression: &'ast syn::ExprStruct) {
        if let Some(syn::Expr::Call(rest)) = expression.rest.as_deref() {
            for field in &expression.fields {
                let name = self.text(&field.member).to_owned();
                // One that is written in short has no expression of its own to replace.
                if field.colon_token.is_some() {
                    let what = format!("`{name}` is as in `{}`", self.short(rest));
                    let text = format!("({}).{name}", self.text(rest));
                    self.replace(&field.expr, vec![Alternative { kind: Kind::Field, text, what }]);
                }
            }
        }
        visit::visit_expr_struct(self, expression);
    }
}

/// Whether these attributes are of a test, or of what only tests need.
fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) => {
            list.path.is_ident("cfg")
                && list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
        }
        syn::Meta::NameValue(_) => false,
    })
}

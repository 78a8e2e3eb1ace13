//! What is worked out only to be told: to marks of coverage and to the record of a run.

use syn::visit::{self, Visit};

/// Macros whose words go to whoever looks at a run, and change nothing in it.
const TELLING: [&str; 2] = ["sometimes", "record"];

/// Whether what a statement binds is told in `rest`, the statements that follow it, and not used otherwise.
pub fn is_only_told(local: &syn::Local, rest: &[syn::Stmt]) -> bool {
    let mut names = Names(Vec::new());
    names.visit_pat(&local.pat);
    let mut uses = Uses { names: names.0, told: false, used: false };
    rest.iter().for_each(|statement| uses.visit_stmt(statement));
    uses.told && !uses.used
}

/// Whether a block does nothing but tell, and what `is_harness` says is of no member's doing either.
pub fn only_tells(block: &syn::Block, is_harness: impl Fn(&syn::Stmt) -> bool) -> bool {
    let mut statements = block.stmts.iter().enumerate();
    !block.stmts.is_empty()
        && statements.all(|(index, statement)| match statement {
            syn::Stmt::Macro(called) => TELLING.iter().any(|name| called.mac.path.is_ident(name)),
            syn::Stmt::Local(local) => is_only_told(local, &block.stmts[index + 1..]),
            _ => is_harness(statement),
        })
}

struct Names(Vec<String>);

impl Visit<'_> for Names {
    fn visit_pat_ident(&mut self, pattern: &syn::PatIdent) {
        self.0.push(pattern.ident.to_string());
    }
}

struct Uses {
    names: Vec<String>,
    told: bool,
    used: bool,
}

impl Visit<'_> for Uses {
    fn visit_expr_path(&mut self, expression: &syn::ExprPath) {
        self.used |=
            expression.path.get_ident().is_some_and(|name| self.names.iter().any(|known| name == known));
        visit::visit_expr_path(self, expression);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        // A name can stand in the text of a format, too.
        let tokens = call.tokens.to_string();
        let mut words = tokens.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.any(|word| self.names.iter().any(|name| name == word)) {
            let is_telling = TELLING.iter().any(|name| call.path.is_ident(name));
            self.told |= is_telling;
            self.used |= !is_telling;
        }
    }
}

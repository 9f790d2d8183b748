//! Every remedy in the sources, read as Rust: whatever stands where one is given.
//!
//! A remedy stands in a function whose name says so, in the last argument of `Complaint::new`, of
//! `Finding::wrong`, `warning` or `skipped` or of a table's `disabled`, in a field or variable called
//! `remedy`, or after `try: ` in a line of the log. What stands there is a literal, a public constant, or a
//! constant or function of the same file; what cannot be followed that way is reported, so that none
//! escapes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Lit, Pat, Visibility};

/// A remedy and where it stands, below `src/`. Of two in one file that read alike, one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remedy {
    pub file: String,
    pub text: String,
}

/// All of them, and the places that could not be followed, as `file:line`.
pub fn all() -> (BTreeSet<Remedy>, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect_files(&root, &mut files);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    let files = files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap()));
    // The other half of a mere declaration `#[cfg(test)] mod tests;`.
    let files = files.filter(|(name, _)| !name.ends_with("/tests.rs") && !name.contains("/tests/"));
    let files = files.collect::<Vec<_>>();
    let mut public = BTreeMap::new();
    for (_, text) in &files {
        for item in syn::parse_file(text).unwrap().items {
            if let Item::Const(item) = item
                && !matches!(item.vis, Visibility::Inherited)
            {
                public.insert(item.ident.to_string(), *item.expr);
            }
        }
    }
    let mut found = (BTreeSet::new(), Vec::new());
    for (name, text) in &files {
        let (texts, unseen) = with_constants(text, public.clone());
        found.0.extend(texts.into_iter().map(|text| Remedy { file: name.clone(), text }));
        found.1.extend(unseen.into_iter().map(|line| format!("src/{name}:{line}")));
    }
    found
}

/// The remedies of one file, and the lines of what could not be followed.
pub fn in_text(text: &str) -> (BTreeSet<String>, Vec<usize>) {
    with_constants(text, BTreeMap::new())
}

/// The same, where these constants of other files may be named.
fn with_constants(text: &str, constants: BTreeMap<String, Expr>) -> (BTreeSet<String>, Vec<usize>) {
    let file = syn::parse_file(text).unwrap();
    let mut names = Names { constants, functions: BTreeMap::new() };
    names.visit_file(&file);
    let mut finder = Finder { names: &names, found: BTreeSet::new(), unseen: Vec::new() };
    finder.visit_file(&file);
    (finder.found, finder.unseen)
}

/// As it is compared: on one line, placeholders alike, without the quotes of a command.
pub fn normal(text: &str) -> String {
    let mut plain = String::new();
    let mut depth = 0;
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    for c in text.chars() {
        match c {
            '{' => {
                depth += 1;
                plain.push_str("{}");
            }
            '}' => depth -= 1,
            '`' => {}
            _ if depth > 0 => {}
            c => plain.push(c),
        }
    }
    let plain = plain.replace('\u{1}', "{").replace('\u{2}', "}");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn collect_files(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// What a name stands for in a file.
struct Names {
    constants: BTreeMap<String, Expr>,
    functions: BTreeMap<String, syn::Block>,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constants.insert(item.ident.to_string(), (*item.expr).clone());
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.functions.insert(item.sig.ident.to_string(), (*item.block).clone());
        visit::visit_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }
}

struct Finder<'a> {
    names: &'a Names,
    found: BTreeSet<String>,
    unseen: Vec<usize>,
}

impl Finder<'_> {
    /// What stands in a remedy's place. It hands on another's remedy, or says its own.
    fn take(&mut self, expression: &Expr) {
        let mut texts = Texts { names: self.names, found: BTreeSet::new(), hands_on: false };
        texts.visit_expr(expression);
        if texts.found.is_empty() && !texts.hands_on {
            self.unseen.push(syn::spanned::Spanned::span(expression).start().line);
        }
        self.found.extend(texts.found);
    }

    fn take_body(&mut self, name: &syn::Ident, block: &syn::Block) {
        if name.to_string().contains("remedy") {
            let mut texts = Texts { names: self.names, found: BTreeSet::new(), hands_on: false };
            texts.visit_block(block);
            self.found.extend(texts.found);
        }
    }

    fn take_logged(&mut self, tokens: &TokenStream) {
        for token in tokens.clone() {
            match token {
                TokenTree::Group(group) => self.take_logged(&group.stream()),
                TokenTree::Literal(literal) => {
                    let literal = syn::parse_str::<syn::LitStr>(&literal.to_string());
                    let text = literal.map(|literal| literal.value()).unwrap_or_default();
                    let after = text.split_once("try: ").map(|(_, after)| after.to_owned());
                    self.found.extend(after.filter(|after| !after.starts_with('{')));
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.take_body(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.take_body(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let path = match &*call.func {
            Expr::Path(path) => segments(&path.path),
            _ => Vec::new(),
        };
        let path = path.iter().map(String::as_str).collect::<Vec<_>>();
        let place = match path[..] {
            [.., "Complaint", "new"] => Some(2),
            [.., "Finding" | "Self", "wrong" | "warning" | "skipped"] => Some(1),
            _ => None,
        };
        if let Some(expression) = place.and_then(|place| call.args.iter().nth(place)) {
            self.take(expression);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        let is_ours = matches!(&field.member, syn::Member::Named(name) if name == "remedy");
        if is_ours && field.colon_token.is_some() {
            self.take(&field.expr);
        }
        visit::visit_field_value(self, field);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let is_ours = |pattern: &Pat| matches!(pattern, Pat::Ident(name) if name.ident == "remedy");
        match (&local.pat, &local.init) {
            (pattern, Some(init)) if is_ours(pattern) => self.take(&init.expr),
            (Pat::Tuple(tuple), Some(init)) => {
                if let Some(at) = tuple.elems.iter().position(is_ours) {
                    let mut places = Vec::new();
                    elements(&init.expr, at, &mut places);
                    places.into_iter().for_each(|place| self.take(place));
                }
            }
            _ => {}
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
        if is_remedy_field(&assign.left) {
            self.take(&assign.right);
        }
        visit::visit_expr_assign(self, assign);
    }

    fn visit_expr_binary(&mut self, sum: &'ast syn::ExprBinary) {
        if matches!(sum.op, syn::BinOp::AddAssign(_)) && is_remedy_field(&sum.left) {
            self.take(&sum.right);
        }
        visit::visit_expr_binary(self, sum);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "disabled" && call.args.len() == 2 {
            self.take(&call.args[1]);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.take_logged(&call.tokens);
        // What a macro is given may itself be an expression with a remedy in it.
        let parser = syn::punctuated::Punctuated::<Expr, syn::Token![,]>::parse_terminated;
        for expression in call.parse_body_with(parser).into_iter().flatten() {
            self.visit_expr(&expression);
        }
    }
}

/// The texts that an expression may come to.
struct Texts<'a> {
    names: &'a Names,
    found: BTreeSet<String>,
    /// It is somebody else's remedy, or one that is listed where it was made.
    hands_on: bool,
}

impl<'ast> Visit<'ast> for Texts<'_> {
    fn visit_lit(&mut self, literal: &'ast Lit) {
        if let Lit::Str(text) = literal {
            self.found.insert(text.value());
        }
    }

    /// What is compared with is no remedy.
    fn visit_pat(&mut self, _: &'ast Pat) {}

    /// Nor is what decides between two.
    fn visit_expr_if(&mut self, choice: &'ast syn::ExprIf) {
        self.visit_block(&choice.then_branch);
        if let Some((_, other)) = &choice.else_branch {
            self.visit_expr(other);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.visit_expr(&arm.body);
    }

    fn visit_expr_match(&mut self, choice: &'ast syn::ExprMatch) {
        for arm in &choice.arms {
            self.visit_arm(arm);
        }
    }

    /// `"…".to_owned()`, and not what a method is given, unless it is another's stead.
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let method = call.method.to_string();
        self.hands_on |= method.contains("remedy");
        self.visit_expr(&call.receiver);
        if method.starts_with("unwrap_or") {
            call.args.iter().for_each(|argument| self.visit_expr(argument));
        }
    }

    fn visit_expr_field(&mut self, field: &'ast syn::ExprField) {
        self.hands_on |= matches!(&field.member, syn::Member::Named(name) if name == "remedy");
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        let Some(name) = path.path.get_ident().map(ToString::to_string) else { return };
        self.hands_on |= name.contains("remedy");
        if let Some(constant) = self.names.constants.get(&name) {
            self.visit_expr(constant);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let Expr::Path(path) = &*call.func else { return };
        let name = segments(&path.path).pop().unwrap_or_default();
        self.hands_on |= name.contains("remedy");
        if let Some(block) = self.names.functions.get(&name) {
            self.visit_block(block);
        } else if path.path.get_ident().is_none_or(|name| name == "Some") {
            // `String::from("…")`
            call.args.iter().for_each(|argument| self.visit_expr(argument));
        }
    }

    /// A format's text, with the constants that are named in it.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let is_format = call.path.segments.last().is_some_and(|name| name.ident == "format");
        let first = call.tokens.clone().into_iter().next();
        let text = first.filter(|_| is_format).map(|token| token.to_string());
        let text = text.and_then(|text| syn::parse_str::<syn::LitStr>(&text).ok());
        self.found.extend(text.map(|text| text.value()));
    }
}

/// What stands at place `at` of the tuples that an expression may come to, or that expression itself.
fn elements<'a>(expression: &'a Expr, at: usize, found: &mut Vec<&'a Expr>) {
    let last = |block: &'a syn::Block| match block.stmts.last() {
        Some(syn::Stmt::Expr(expression, None)) => Some(expression),
        _ => None,
    };
    match expression {
        Expr::Tuple(tuple) => found.extend(tuple.elems.iter().nth(at)),
        Expr::Match(choice) => choice.arms.iter().for_each(|arm| elements(&arm.body, at, found)),
        Expr::If(choice) => {
            last(&choice.then_branch).into_iter().for_each(|it| elements(it, at, found));
            choice.else_branch.iter().for_each(|(_, it)| elements(it, at, found));
        }
        Expr::Block(block) => {
            last(&block.block).into_iter().for_each(|it| elements(it, at, found));
        }
        Expr::Return(_) | Expr::Continue(_) | Expr::Break(_) => {}
        other => found.push(other),
    }
}

fn is_remedy_field(place: &Expr) -> bool {
    matches!(place, Expr::Field(field) if matches!(&field.member, syn::Member::Named(name) if name == "remedy"))
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

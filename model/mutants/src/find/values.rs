//! What a function may return instead of doing anything.

use syn::{GenericArgument, PathArguments, ReturnType, Type};

/// Values of a return type, as code. An empty one is a plain `return`. None where a type gives no idea.
pub fn of(output: &ReturnType) -> Vec<String> {
    match output {
        ReturnType::Default => vec![String::new()],
        ReturnType::Type(_, output) => of_type(output),
    }
}

fn of_type(output: &Type) -> Vec<String> {
    match output {
        Type::Path(path) => of_path(path),
        Type::Tuple(tuple) if tuple.elems.is_empty() => vec!["()".to_owned()],
        Type::Tuple(tuple) => {
            let parts = tuple.elems.iter().map(|part| of_type(part).into_iter().next());
            parts
                .collect::<Option<Vec<_>>>()
                .map(|parts| format!("({})", parts.join(", ")))
                .into_iter()
                .collect()
        }
        Type::Reference(reference) => match &*reference.elem {
            Type::Slice(_) if reference.mutability.is_none() => vec!["&[]".to_owned()],
            Type::Path(path) if path.path.is_ident("str") => vec!["\"\"".to_owned()],
            _ => vec!["Box::leak(Box::new(Default::default()))".to_owned()],
        },
        Type::Paren(inner) => of_type(&inner.elem),
        Type::Array(_) => vec![default()],
        // What only a trait is known of cannot be another type in one place. What never returns has no value.
        _ => Vec::new(),
    }
}

fn of_path(path: &syn::TypePath) -> Vec<String> {
    let Some(last) = path.path.segments.last() else { return Vec::new() };
    let arguments = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => {
            let types = arguments.args.iter().filter_map(|argument| match argument {
                GenericArgument::Type(argument) => Some(argument),
                _ => None,
            });
            types.collect()
        }
        _ => Vec::new(),
    };
    let inner = |name: &str| -> Vec<String> {
        let values = arguments.first().map_or_else(|| vec![default()], |first| of_type(first));
        values.into_iter().map(|value| format!("{name}({value})")).collect()
    };
    match last.ident.to_string().as_str() {
        "bool" => vec!["true".to_owned(), "false".to_owned()],
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => vec!["0".to_owned(), "1".to_owned()],
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => {
            vec!["0".to_owned(), "1".to_owned(), "-1".to_owned()]
        }
        "String" => vec!["String::new()".to_owned()],
        "Vec" => vec!["Vec::new()".to_owned()],
        "Option" => std::iter::once("None".to_owned()).chain(inner("Some")).collect(),
        "Result" => inner("Ok"),
        "Box" => inner("Box::new"),
        "Rc" => inner("std::rc::Rc::new"),
        "Arc" => inner("std::sync::Arc::new"),
        _ => vec![default()],
    }
}

fn default() -> String {
    "Default::default()".to_owned()
}

//! What the OpenAPI document says about each route, in the form that the edge enforces.
//!
//! A query parameter that is not documented is refused, whatever the handler takes.

use std::collections::{BTreeMap, BTreeSet};

use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::{OpenApi, RefOr};

/// Rules of one operation.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Names that may stand in the query.
    pub query: BTreeSet<String>,
    /// Whether the body is something else than JSON, and so has the limits of uploads.
    pub upload: bool,
}

/// Rules of all operations by path template and method.
#[derive(Debug, Default, Clone)]
pub struct Rules(BTreeMap<(String, String), Rule>);

impl Rules {
    /// The rules in `spec`.
    pub fn read(spec: &OpenApi) -> Self {
        let items = spec.paths.paths.iter();
        Self(
            items
                .flat_map(|(path, item)| {
                    operations(item).map(|(method, op)| ((path.clone(), method.into()), rule(op)))
                })
                .collect(),
        )
    }

    /// Methods that the template `path` has.
    pub fn methods(&self, path: &str) -> Vec<&str> {
        let here = self.0.keys().filter(|(known, _)| known == path);
        here.map(|(_, method)| method.as_str()).collect()
    }

    /// The rule of `method` at the template `path`; none for pages outside the document. HEAD follows GET.
    pub fn of(&self, path: &str, method: &str) -> Option<&Rule> {
        let method = if method == "HEAD" { "GET" } else { method };
        self.0.get(&(path.to_owned(), method.to_owned()))
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn rule(operation: &Operation) -> Rule {
    let parameters = operation.parameters.iter().flatten();
    let query = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => {
            matches!(parameter.parameter_in, ParameterIn::Query).then(|| parameter.name.clone())
        }
        RefOr::Ref(_) => None,
    });
    Rule {
        query: query.collect(),
        upload: operation.request_body.as_ref().is_some_and(is_upload),
    }
}

fn is_upload(body: &RefOr<RequestBody>) -> bool {
    match body {
        RefOr::T(body) => body.content.keys().any(|media| media != "application/json"),
        RefOr::Ref(_) => false,
    }
}

//! How the description of one operation is put together.

use axum::http::Method;
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, HttpMethod, ObjectBuilder, PathItem, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
        Type,
        path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
        request_body::{RequestBody, RequestBodyBuilder},
        schema::{self, AdditionalProperties},
    },
};

use super::{ENDPOINTS, Endpoint, common};

/// Schemas by name.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// What one operation takes and answers. What holds for all of them is added when it is shown.
pub(super) struct Told {
    pub(super) method: Method,
    pub(super) path: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Parameter>,
    body: Option<RequestBody>,
    responses: Vec<(u16, ResponseBuilder)>,
    problems: Vec<u16>,
    /// The schemas that its answers are made of.
    pub(super) answered: Schemas,
    /// The schemas that it takes.
    pub(super) requested: Schemas,
}

/// Reads an example: a file beside this folder.
macro_rules! example {
    ($name:literal) => {
        serde_json::from_str(include_str!(concat!("../examples/", $name, ".json"))).unwrap_or_default()
    };
}

pub(super) use example;

impl Told {
    pub(super) fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            parameters: Vec::new(),
            body: None,
            responses: Vec::new(),
            problems: Vec::new(),
            answered: Vec::new(),
            requested: Vec::new(),
        }
    }

    pub(super) fn takes(mut self, parameter: ParameterBuilder) -> Self {
        self.parameters.push(parameter.build());
        self
    }

    /// A JSON body.
    pub(super) fn takes_json(
        self,
        what: &str,
        required: Required,
        schema: impl Into<RefOr<Schema>>,
        example: Value,
    ) -> Self {
        self.takes_body(what, required, "application/json", schema.into(), example)
    }

    /// A body that may be anything.
    pub(super) fn takes_bytes(self, what: &str, example: &str) -> Self {
        self.takes_body(what, Required::False, "*/*", schema::empty().into(), example.into())
    }

    fn takes_body(
        mut self,
        what: &str,
        required: Required,
        media_type: &str,
        schema: RefOr<Schema>,
        example: Value,
    ) -> Self {
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        let body = RequestBodyBuilder::new().description(Some(what)).required(Some(required));
        self.body = Some(body.content(media_type, content).build());
        self
    }

    /// A schema that what it takes refers to.
    pub(super) fn with_request<T: ToSchema>(mut self) -> Self {
        collect::<T>(&mut self.requested);
        self
    }

    /// An answer with JSON.
    pub(super) fn json<T: ToSchema>(self, status: u16, what: &str, example: Value) -> Self {
        let mut told = self.content(status, what, "application/json", schema_of::<T>(), example);
        collect::<T>(&mut told.answered);
        told
    }

    /// An answer of which only an example says what it looks like.
    pub(super) fn shown(mut self, status: u16, what: &str, media_type: &str, example: &str) -> Self {
        let content = ContentBuilder::new().example(Some(example.into())).build();
        self.responses.push((status, ResponseBuilder::new().description(what).content(media_type, content)));
        self
    }

    /// An answer with text.
    pub(super) fn text(self, status: u16, what: &str, media_type: &str, example: &str) -> Self {
        self.content(status, what, media_type, text(), example.into())
    }

    pub(super) fn content(
        mut self,
        status: u16,
        what: &str,
        media_type: &str,
        schema: impl Into<RefOr<Schema>>,
        example: Value,
    ) -> Self {
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        self.responses.push((status, ResponseBuilder::new().description(what).content(media_type, content)));
        self
    }

    /// An answer without content.
    pub(super) fn empty(mut self, status: u16, what: &str) -> Self {
        self.responses.push((status, ResponseBuilder::new().description(what)));
        self
    }

    /// Fields of the answer that was named last.
    pub(super) fn with_fields(mut self, names: &[&str]) -> Self {
        if let Some((status, response)) = self.responses.pop() {
            let with =
                names.iter().fold(response, |response, name| response.header_ref(*name, common::header_ref(name)));
            self.responses.push((status, with));
        }
        self
    }

    /// Problems besides those that every operation has.
    pub(super) fn problems(self, statuses: &[u16]) -> Self {
        Self { problems: statuses.into(), ..self }
    }

    /// Its row in the table of endpoints.
    pub(super) fn endpoint(&self) -> Option<&'static Endpoint> {
        let is_this = |endpoint: &&Endpoint| path_of(endpoint) == self.path && endpoint.methods.contains(&self.method);
        ENDPOINTS.iter().find(is_this)
    }

    /// With what its row in the table says.
    pub(super) fn path_item(self, endpoint: &Endpoint) -> PathItem {
        let mut problems = vec![400, 405, 421, 431, 500];
        problems.extend(self.problems);
        if !endpoint.access.is_open() {
            // Guessing tokens has a limit, too.
            problems.push(401);
        }
        if !endpoint.access.is_open() || endpoint.limit.is_some() {
            problems.push(429);
        }
        if !self.method.is_safe() {
            problems.push(403);
        }
        if self.method == Method::POST {
            problems.push(415);
        }
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .summary(Some(self.summary))
            .tag(tag(self.path))
            .parameters(Some(self.parameters))
            .request_body(self.body);
        if let Some(limit) = endpoint.limit {
            let (policy, most) = (limit.policy, limit.per_minute);
            operation =
                operation.description(Some(format!("At most {most} a minute and client, counted as `{policy}`.")));
        }
        if endpoint.access.is_open() {
            operation = operation.securities(Some([]));
        }
        for (status, response) in self.responses {
            let response = if endpoint.limit.is_some() { common::limited(response) } else { response };
            operation = operation.response(status.to_string(), Response::from(response));
        }
        problems.sort_unstable();
        for status in problems {
            operation = match common::problem(status) {
                Some(problem) => operation.response(status.to_string(), problem),
                None => operation,
            };
        }
        PathItem::new(method(&self.method), operation)
    }
}

/// A path as OpenAPI has it: `{*key}` stands for slashes, too, which are written as `%2F` there.
pub(super) fn path_of(endpoint: &Endpoint) -> String {
    endpoint.path.replace("{*", "{")
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn tag(path: &str) -> &str {
    match path.split('/').nth(2) {
        None => "health",
        Some("query") => "queries",
        Some(part @ ("cache" | "compression" | "profile" | "tasks")) => part,
        Some(_) => "overview",
    }
}

/// The schema of a type with all that it refers to.
pub(super) fn collect<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into(), T::schema()));
    T::schemas(schemas);
}

pub(super) fn schema_of<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

/// A parameter in the query that may be left out.
pub(super) fn query(
    name: &str,
    what: &str,
    schema: impl Into<RefOr<Schema>>,
    example: impl Into<Value>,
) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(what))
        .schema(Some(schema))
        .example(Some(example.into()))
}

/// A part of the path.
pub(super) fn in_path(name: &str, what: &str, schema: impl Into<RefOr<Schema>>, example: &str) -> ParameterBuilder {
    query(name, what, schema, example).parameter_in(ParameterIn::Path).required(Required::True)
}

/// A parameter that changes the form of an answer and not what it says.
pub(super) fn flag(name: &str, what: &str) -> ParameterBuilder {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False);
    parameter.description(Some(what)).schema(Some(text()))
}

/// A header field that may be left out.
pub(super) fn field(name: &str, what: &str, example: &str) -> ParameterBuilder {
    query(name, what, text(), example).parameter_in(ParameterIn::Header)
}

/// Exactly one of several parameters in the query: an object whose members stand there as if they were parameters.
pub(super) fn one_of(name: &str, what: &str, schema: impl Into<RefOr<Schema>>, example: Value) -> ParameterBuilder {
    query(name, what, schema, example).required(Required::True).style(Some(ParameterStyle::Form)).explode(Some(true))
}

pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A whole number within these bounds.
pub(super) fn number(least: usize, most: usize, default: usize) -> ObjectBuilder {
    let integer = ObjectBuilder::new().schema_type(Type::Integer);
    integer.minimum(Some(least)).maximum(Some(most)).default(Some(default.into()))
}

/// An object that has nothing else.
pub(super) fn closed() -> ObjectBuilder {
    let nothing = Some(AdditionalProperties::<Schema>::FreeForm(false));
    ObjectBuilder::new().schema_type(Type::Object).additional_properties(nothing)
}

/// One of these words.
pub(super) fn word(words: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    text().enum_values(Some(words))
}

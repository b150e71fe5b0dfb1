//! From HTTP to WebSocket (RFC 6455, section 4).

use hyper::header::{HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{Request, Response, StatusCode};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::body::AnswerBody;

/// Seconds after which those come back who are turned away.
const RETRY_AFTER_S: &str = "300";

/// Whether a request wants to go on as WebSocket, at a place where that is served. A client may offer other protocols on the
/// same paths (HTTP/2 in plain text); those are ignored as RFC 9110 says.
pub(crate) fn is_wanted<T>(request: &Request<T>) -> bool {
    matches!(request.uri().path(), "/" | "/announce" | "/ws")
        && request.headers().get_all(UPGRADE).iter().any(|value| {
            let mut names = value.as_bytes().split(|byte| *byte == b',');
            names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
        })
}

/// 101, or why not: 426 for another version of the protocol, 400 for a request that lacks something.
pub(crate) fn response<T>(request: &Request<T>) -> Response<AnswerBody> {
    create_response_with_body(request, || AnswerBody::Whole(None)).unwrap_or_else(|error| match error {
        Error::Protocol(ProtocolError::WrongHttpMethod) => refusal(StatusCode::METHOD_NOT_ALLOWED),
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            refusal(StatusCode::UPGRADE_REQUIRED)
        }
        _ => refusal(StatusCode::BAD_REQUEST),
    })
}

/// A status, with the headers that belong to it.
pub(crate) fn refusal(status: StatusCode) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Whole(None));
    *response.status_mut() = status;
    let header = match status {
        StatusCode::UPGRADE_REQUIRED => Some((SEC_WEBSOCKET_VERSION, "13")),
        StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, RETRY_AFTER_S)),
        StatusCode::METHOD_NOT_ALLOWED => Some((hyper::header::ALLOW, "GET")),
        _ => None,
    };
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

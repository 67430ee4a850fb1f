//! HTTP for people and programs: requests are read strictly, every response has its security headers, every error has one
//! shape.
//!
//! | module | holds |
//! | --- | --- |
//! | [`routes`] | every route with its query parameters; the only way from a request to a handler |
//! | [`request`] | forms, JSON bodies, headers and the deadline of a request |
//! | [`json_object`] | objects below the top of a JSON body |
//! | [`cookies`] | reading and setting cookies |
//! | [`browser_binding`] | the cookie that ties an attempt to one browser |
//! | [`api_auth`] | the API key and the product that calls |
//! | [`connect_params`] | the app, host and customer of calls that lead to a connection |
//! | [`respond`] | pages, redirects and JSON with their headers |
//! | [`problem`] | problem documents (RFC 9457) |
//! | [`error_pages`] | the pages on which a visit ends early |
//! | [`return_to_product`] | the redirect back to the product with the receipt |
//! | [`views`] | connections and causes as the API shows them |

#![warn(missing_docs)]

pub mod api_auth;
pub mod browser_binding;
pub mod connect_params;
pub mod cookies;
pub mod error_pages;
pub mod json_object;
pub mod problem;
pub mod request;
pub mod respond;
pub mod return_to_product;
pub mod routes;
pub mod views;

pub use problem::Problem;
pub use request::RequestError;
pub use respond::Response;
pub use routes::{Function, Query, Route};

/// A request as lambda_http gives it, on Lambda and on the local port alike.
pub type Request = lambda_http::Request;

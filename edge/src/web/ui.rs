//! The web UI, embedded from `web-ui/dist` as it was when this program was built; without it, the
//! root page says so. The UI routes by `#`, so there are no paths but its files.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::Refusal;

#[derive(RustEmbed)]
#[folder = "../web-ui/dist"]
#[allow_missing = true]
struct Dist;

const NOT_BUILT: &str = "\
This busbar was built without its web UI. To have it, run in the source tree:

    cd web-ui && npm ci && npm run build

and build busbar again. The API works; its description is at /api/openapi.json.
";

/// Answers all that is not a route: a file of the UI, or that there is no such thing.
pub(crate) async fn file(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let reading = method == Method::GET || method == Method::HEAD;
    match Dist::get(path).filter(|_| reading) {
        Some(file) => embedded(path, file, &headers),
        None if reading && uri.path() == "/" => NOT_BUILT.into_response(),
        None => {
            let message = format!("there is nothing at {}", uri.path());
            Refusal::not_found("not_found", message).into_response()
        }
    }
}

fn embedded(path: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = u128::from_be_bytes(
        *file
            .metadata
            .sha256_hash()
            .first_chunk()
            .unwrap_or(&[0; 16]),
    );
    let tag = format!("\"{hash:032x}\"");
    // Vite names what it puts there by its content.
    let lasting = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|tags| matches(tags, &tag));
    let caching = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, lasting.to_owned()),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let kind = [(header::CONTENT_TYPE, content_type(path))];
    let data = match file.data {
        std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
        std::borrow::Cow::Owned(data) => data.into(),
    };
    (caching, kind, data).into_response()
}

/// RFC 9110, 13.1.2: any of the tags, compared weakly.
fn matches(tags: &HeaderValue, tag: &str) -> bool {
    let tags = tags.to_str().unwrap_or_default();
    tags.split(',')
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(if_none_match: Option<&'static str>) -> HeaderMap {
        let value = if_none_match.map(HeaderValue::from_static);
        value
            .map(|value| (header::IF_NONE_MATCH, value))
            .into_iter()
            .collect()
    }

    fn page() -> EmbeddedFile {
        EmbeddedFile {
            data: b"<!doctype html>".as_slice().into(),
            metadata: rust_embed::Metadata::__rust_embed_new([7; 32], None, None),
        }
    }

    #[test]
    fn files_are_tagged_typed_and_cached_by_their_name() {
        let response = embedded("index.html", page(), &asked(None));
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
        let tag = "\"07070707070707070707070707070707\"";
        assert_eq!(response.headers()[header::ETAG], tag);
        let response = embedded("assets/index-B1x.js", page(), &asked(None));
        let caching = response.headers()[header::CACHE_CONTROL].to_str().unwrap();
        assert!(caching.contains("immutable"));
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        for tags in [
            "\"07070707070707070707070707070707\"",
            "\"x\", W/\"07070707070707070707070707070707\"",
            "*",
        ] {
            let response = embedded("index.html", page(), &asked(Some(tags)));
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{tags}");
        }
        let response = embedded("index.html", page(), &asked(Some("\"x\"")));
        assert_eq!(response.status(), StatusCode::OK);
    }
}

use std::{
    borrow::Cow,
    fmt::Write,
    fs,
    path::{Component, Path},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web,
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::failure::Failure;
use crate::session::Services;

/// The pages built into the binary; a debug build reads them from disk.
#[derive(RustEmbed)]
#[folder = "static"]
struct Built;

/// Pages run their own scripts and styles, talk to this host, and are shown in
/// nobody's frame.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
                      style-src 'self'; script-src 'self'; object-src 'none'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// `GET /` and all that no other route takes: a file of the pages.
pub(super) async fn page(
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Failure::method("GET, HEAD"));
    }
    let path = match request.path().trim_start_matches('/') {
        "" => "index.html",
        "admin" => "admin.html",
        path => path,
    };
    if path == "admin.html" && !services.settings.server.admin {
        return Err(Failure::not_found("the operator's page is off: `server.admin` is false"));
    }
    let file = match &services.settings.server.static_dir {
        Some(folder) => read(folder, path),
        None => Built::get(path),
    };
    let Some(file) = file else {
        return Err(Failure::not_found("there is no such page"));
    };
    let tag = file.metadata.sha256_hash().iter().take(16).fold(String::new(), |mut tag, byte| {
        // Writing to a string does not fail.
        let _ = write!(tag, "{byte:02x}");
        tag
    });
    let tag = header::EntityTag::new_strong(tag);
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    let unchanged = known == Some(tag.to_string().as_str());
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header(header::ETag(tag))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .content_type(content_type(path));
    if unchanged {
        // A body here would be taken for the next answer.
        return Ok(response.finish());
    }
    Ok(match file.data {
        Cow::Borrowed(data) => response.body(data),
        Cow::Owned(data) => response.body(data),
    })
}

fn content_type(path: &str) -> String {
    let guessed = mime_guess::from_path(path).first_or_octet_stream();
    match guessed.type_() {
        mime_guess::mime::TEXT => format!("{guessed}; charset=utf-8"),
        _ => guessed.to_string(),
    }
}

/// A file of the folder; nothing that the path reaches outside of it.
fn read(folder: &Path, path: &str) -> Option<EmbeddedFile> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        return None;
    }
    let whole = folder.join(path);
    if !fs::metadata(&whole).ok()?.is_file() {
        return None;
    }
    rust_embed::utils::read_file_from_fs(&whole).ok()
}

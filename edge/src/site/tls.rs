//! `tls` of whatever listens and of a `[[device]]`: files relative to the site file, read once to see
//! whether they are right.

use protocols::tls::{Fingerprint, TlsFiles};

use super::read::Table;

/// Our files where we listen, if there is a `tls` table.
pub(super) fn server(parent: &Table<'_, '_>) -> Option<TlsFiles> {
    let table = parent.has("tls").then(|| parent.table("tls")).flatten()?;
    let files = files(&table);
    table.finish();
    if let Some(Err(error)) = files.as_ref().map(TlsFiles::server) {
        parent.problem("tls", error.to_string());
    }
    files
}

/// The certificate that a master has to show where there is TLS, `secure`; `None` if it is wrong. Without
/// TLS it would be a promise that nothing keeps: the key is unknown then.
pub(super) fn certificate(master: &Table<'_, '_>, secure: bool) -> Option<Option<Fingerprint>> {
    if !secure {
        return Some(None);
    }
    match master.text("certificate_sha256")?.parse() {
        Ok(fingerprint) => Some(Some(fingerprint)),
        Err(error) => {
            master.problem("certificate_sha256", error);
            None
        }
    }
}

/// Our files towards a device, and the name that its certificate is for: `None` if they are wrong.
pub(super) fn device(parent: &Table<'_, '_>) -> Option<Option<(TlsFiles, String)>> {
    if !parent.has("tls") {
        return Some(None);
    }
    let table = parent.table("tls")?;
    let (files, name) = (files(&table), table.text("name"));
    table.finish();
    let (files, name) = (files?, name?);
    if let Err(error) = files.client(name) {
        parent.problem("tls", error.to_string());
    }
    Some(Some((files, name.to_owned())))
}

fn files(table: &Table<'_, '_>) -> Option<TlsFiles> {
    let file = |key| table.text(key).map(|text| table.source.beside(text));
    let (certificate, key, authorities) = (file("certificate"), file("key"), file("authorities"));
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
        authorities: authorities?,
    })
}
